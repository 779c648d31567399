//! From PyTorch's order of axes, in which options speak, to that of a graph's constants.

use crate::{
    backend::{graph::inventory::Candidate, layouts, weights::WeightScheme},
    quant::{Granularity, Grid, Scheme},
    spec::Reason,
    tensor::Shape,
};

impl Candidate {
    /// The axis of the output channels in the constant itself.
    pub(super) fn own_axis(&self) -> usize {
        if self.transposed { 1 - self.axis } else { self.axis }
    }

    /// The constant's own shape.
    fn own_shape(&self) -> Shape {
        if self.transposed { self.shape.reversed() } else { self.shape.clone() }
    }

    /// The shape as PyTorch would have it, output channels first.
    pub(super) fn torch_shape(&self) -> Shape {
        if self.axis == 0 { self.shape.clone() } else { self.shape.reversed() }
    }
}

/// The scheme in the constant's own order of axes, or why the graph has no form for it.
pub(super) fn in_own_axes(candidate: &Candidate, mut scheme: Scheme) -> Result<WeightScheme, Reason> {
    let (axis, shape) = (candidate.own_axis(), candidate.own_shape());
    scheme.granularity = match scheme.granularity {
        Granularity::PerChannel { .. } => Granularity::PerChannel { axis },
        Granularity::PerGroup { size, .. } => Granularity::PerGroup { axis: 1 - axis, size },
        Granularity::PerTensor => Granularity::PerTensor,
        Granularity::PerBlock { .. } => return Err(Reason::LayoutUnsupported),
    };
    if let Some(reason) = layouts::onnx::refuses(scheme.dtype, &shape) {
        return Err(reason);
    }
    let grid = Grid::new(&shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
    Ok(WeightScheme::new(scheme, grid, candidate.format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::{DType, FloatFormat};

    /// The weight of a product that sums over 64 and gives 6, as `[64, 6]`, or transposed by the graph from `[6, 64]`.
    fn candidate(transposed: bool) -> Candidate {
        Candidate {
            node: crate::model::onnx::testing::GraphBuilder::new()
                .node("MatMul", &["x", "w"], &["y"])
                .build()
                .node_at(0)
                .unwrap(),
            weight_input: 1,
            axis: 1,
            source: "w".to_owned(),
            transposed,
            format: FloatFormat::F32,
            shape: Shape::new(vec![64, 6]).unwrap(),
        }
    }

    fn own(transposed: bool, dtype: DType, granularity: Granularity) -> Result<(Granularity, (usize, usize)), Reason> {
        let weight = in_own_axes(&candidate(transposed), Scheme::torchao(dtype, granularity))?;
        Ok((weight.scheme.granularity, weight.grid.cells()))
    }

    const ROWS: Granularity = Granularity::PerChannel { axis: 0 };
    const GROUPS: Granularity = Granularity::PerGroup { axis: 1, size: 32 };

    #[test]
    fn output_channels_are_the_first_axis_in_pytorch_and_where_the_constant_has_them_here() {
        assert_eq!(candidate(false).torch_shape().dims(), [6, 64]);
        assert_eq!(own(false, DType::Int8, ROWS), Ok((Granularity::PerChannel { axis: 1 }, (1, 6))));
        assert_eq!(own(true, DType::Int8, ROWS), Ok((Granularity::PerChannel { axis: 0 }, (6, 1))));
    }

    #[test]
    fn groups_run_along_the_axis_that_is_summed_over() {
        assert_eq!(own(false, DType::Int4, GROUPS), Ok((Granularity::PerGroup { axis: 0, size: 32 }, (2, 6))));
        assert_eq!(own(true, DType::Int4, GROUPS), Ok((Granularity::PerGroup { axis: 1, size: 32 }, (6, 2))));
    }

    #[test]
    fn blocks_and_rows_of_odd_length_have_no_form() {
        let block = Granularity::PerBlock { rows: 128, columns: 128 };
        assert_eq!(own(false, DType::Fp8E4m3fn, block), Err(Reason::LayoutUnsupported));
        let odd = Candidate { shape: Shape::new(vec![64, 5]).unwrap(), ..candidate(false) };
        let refused = in_own_axes(&odd, Scheme::torchao(DType::Int4, GROUPS));
        assert_eq!(refused.map(|weight| weight.grid).err(), Some(Reason::ShapeUnsupported));
    }
}
