//! How ONNX graphs hold quantized weights: initializers of codes, scales and zero points, which a DequantizeLinear reads.

use crate::{
    backend::weights::{EncodedWeight, Runs, WeightScheme, ZeroPoints},
    model::{
        onnx::{DeferredTensor, OnnxError},
        safetensors::OutTensor,
    },
    numeric::DType,
    quant::Granularity,
    spec::Reason,
    tensor::Shape,
};

/// Why a weight of this shape has no place in a graph, if it has none: codes that share a byte may not be of two rows.
pub(in crate::backend) fn refuses(dtype: DType, shape: &Shape) -> Option<Reason> {
    let codes_per_byte = dtype.spec().packing.codes_per_byte();
    let whole = shape.dims().last().is_some_and(|columns| columns.is_multiple_of(codes_per_byte));
    (!whole).then_some(Reason::ShapeUnsupported)
}

/// The least version of ONNX's operators that can say all this.
pub(in crate::backend) fn needed_opset<'w>(weights: impl IntoIterator<Item = &'w WeightScheme>) -> i64 {
    const BLOCKED: i64 = 21;
    let needed = weights.into_iter().map(|weight| {
        let grouped = matches!(weight.scheme.granularity, Granularity::PerGroup { .. });
        let for_form = if grouped { BLOCKED } else { 0 };
        let for_scales = weight.scheme.scale_format(weight.format).spec().onnx_opset;
        weight.scheme.dtype.spec().onnx_opset.max(for_form).max(for_scales)
    });
    needed.max().unwrap_or(0)
}

/// Since this version of ONNX's operators Add and Mul broadcast as numpy does.
pub(in crate::backend) const BROADCASTS: i64 = 7;

/// Where the tensors go that take the place of a constant.
pub(in crate::backend) struct Place<'a> {
    /// The constant's name.
    pub(in crate::backend) constant: &'a str,
    /// Makes a name that nothing in the graph has.
    pub(in crate::backend) claim: &'a mut dyn FnMut(&str) -> String,
    /// What the writer must lay out.
    pub(in crate::backend) deferred: &'a mut Vec<DeferredTensor>,
}

impl Place<'_> {
    /// A tensor that is called like the constant with a suffix.
    pub(in crate::backend) fn tensor(
        &mut self,
        suffix: &str,
        element: i32,
        bits: usize,
        dims: &[usize],
    ) -> Result<OutTensor, OnnxError> {
        let name = (self.claim)(&format!("{}.{suffix}", self.constant));
        let shape = Shape::new(dims.to_vec()).map_err(|source| OnnxError::Shape { tensor: name.clone(), source })?;
        self.deferred.push(DeferredTensor { name: name.clone(), element, bits, shape: shape.clone() });
        Ok(OutTensor { name, dtype: String::new(), bits, shape })
    }
}

/// The tensors that take the place of the constant `name`, in the order of DequantizeLinear's inputs. `claim` makes a name
/// that nothing in the graph has; what the writer must lay out is added to `deferred`.
pub(in crate::backend) fn tensors(
    name: &str,
    shape: &Shape,
    weight: &WeightScheme,
    mut claim: impl FnMut(&str) -> String,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let mut place = Place { constant: name, claim: &mut claim, deferred };
    let spec = weight.scheme.dtype.spec();
    let scale_format = weight.scheme.scale_format(weight.format);
    let (down, across) = weight.grid.cells();
    let cells = match weight.scheme.granularity {
        Granularity::PerTensor => vec![],
        Granularity::PerChannel { .. } => vec![down * across],
        Granularity::PerGroup { .. } | Granularity::PerBlock { .. } => vec![down, across],
    };
    let codes = place.tensor("quantized", spec.onnx, spec.bits as usize, shape.dims())?;
    let scales = place.tensor("scale", scale_format.spec().onnx, 8 * scale_format.spec().size, &cells)?;
    let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
        let tensor = place.tensor("zero_point", spec.onnx, spec.bits as usize, &cells)?;
        Ok::<_, OnnxError>(ZeroPoints { tensor, packing: spec.packing, runs: Runs::All })
    });
    let zero_points = zero_points.transpose()?;
    Ok(EncodedWeight { codes, packing: spec.packing, scales, scale_format, zero_points, constants: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numeric::{FloatFormat, Packing},
        quant::{Grid, ScaleRule, Scheme},
    };

    fn weight(dtype: DType, granularity: Granularity) -> WeightScheme {
        let grid = Grid::new(&Shape::new(vec![64, 6]).unwrap(), granularity).unwrap();
        WeightScheme::new(Scheme::onnx(dtype, granularity), grid, FloatFormat::F16)
    }

    fn laid_out(weight: &WeightScheme) -> Vec<String> {
        let mut deferred = Vec::new();
        let shape = Shape::new(vec![64, 6]).unwrap();
        let claim = |wanted: &str| format!("{wanted}_1");
        let encoded = tensors("w", &shape, weight, claim, &mut deferred).unwrap();
        let names: Vec<&str> = encoded.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, deferred.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>());
        deferred.iter().map(|tensor| format!("{} {} {}", tensor.name, tensor.element, tensor.shape)).collect()
    }

    #[test]
    fn scales_are_a_scalar_a_vector_or_a_matrix() {
        let axis = Granularity::PerChannel { axis: 1 };
        let group = Granularity::PerGroup { axis: 0, size: 32 };
        let codes = "w.quantized_1 3 [64,6]";
        assert_eq!(laid_out(&weight(DType::Int8, Granularity::PerTensor)), [codes, "w.scale_1 1 []"]);
        assert_eq!(laid_out(&weight(DType::Int8, axis)), [codes, "w.scale_1 1 [6]"]);
        assert_eq!(laid_out(&weight(DType::Int4, group)), ["w.quantized_1 22 [64,6]", "w.scale_1 1 [2,6]"]);
    }

    #[test]
    fn zero_points_have_the_type_and_the_packing_of_the_codes() {
        let mut int4 = weight(DType::Int4, Granularity::PerGroup { axis: 0, size: 32 });
        int4.scheme.rule = ScaleRule::RangeOverSteps;
        int4.scheme.scale_format = None;
        assert_eq!(
            laid_out(&int4),
            ["w.quantized_1 22 [64,6]", "w.scale_1 10 [2,6]", "w.zero_point_1 22 [2,6]"],
            "scales in the weight's format, f16"
        );
        let shape = Shape::new(vec![64, 6]).unwrap();
        let encoded = tensors("w", &shape, &int4, str::to_owned, &mut Vec::new()).unwrap();
        let zero_points = encoded.zero_points.unwrap();
        assert_eq!(
            (encoded.packing, zero_points.packing, zero_points.runs),
            (Packing::Nibbles, Packing::Nibbles, Runs::All)
        );
    }

    #[test]
    fn the_opset_is_the_highest_that_dtype_groups_and_scales_need() {
        let per_tensor = |dtype| weight(dtype, Granularity::PerTensor);
        let group = weight(DType::Int8, Granularity::PerGroup { axis: 0, size: 32 });
        let mut half = per_tensor(DType::Int8);
        half.scheme.scale_format = None;
        let needed = |weights: &[WeightScheme]| needed_opset(weights);
        assert_eq!(needed(&[]), 0);
        assert_eq!(needed(&[per_tensor(DType::Int8)]), 13);
        assert_eq!(needed(&[half]), 19);
        assert_eq!(needed(&[per_tensor(DType::Int8), per_tensor(DType::Fp8E4m3fn)]), 19);
        assert_eq!(needed(&[group, half]), 21);
    }

    #[test]
    fn two_codes_of_a_byte_are_of_one_row() {
        let shape = |dims: &[usize]| Shape::new(dims.to_vec()).unwrap();
        assert_eq!(refuses(DType::Int4, &shape(&[3, 5])), Some(Reason::ShapeUnsupported));
        assert_eq!(refuses(DType::Int4, &shape(&[3, 4])), None);
        assert_eq!(refuses(DType::Int8, &shape(&[3, 5])), None);
    }
}
