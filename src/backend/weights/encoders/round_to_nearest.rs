//! Every element gets the code nearest to it, under a scale that the range of its cell gives.

use super::encoder::{Cut, EncodedPart, Encoder, Known};
use crate::quant::{Block, ErrorStats, Grid, MinMax, PART_ELEMENTS, QuantError, Scheme, qparams};

/// Rounding to the nearest code. One pass, unless a cell is larger than a part.
#[derive(Debug)]
pub(super) struct RoundToNearest;

impl Encoder for RoundToNearest {
    fn name(&self) -> &'static str {
        "round_to_nearest"
    }

    fn cut(&self, grid: &Grid) -> Cut {
        match grid.whole_cells(PART_ELEMENTS) {
            Some(parts) => Cut { parts, ahead: None },
            None => Cut { parts: grid.pieces(PART_ELEMENTS), ahead: Some(*grid) },
        }
    }

    fn encode(
        &self,
        scheme: &Scheme,
        part: &Block<'_, '_>,
        known: Known<'_>,
        encoded: &mut EncodedPart,
    ) -> Result<ErrorStats, QuantError> {
        let EncodedPart { codes, params, ranges } = encoded;
        let cells = part.grid.cells_of(part.rect);
        params.clear();
        match known.parameters {
            Some(all) => {
                let runs = part.grid.runs(&cells).map(|run| all.get(run).unwrap_or_default());
                runs.for_each(|run| params.extend_from_slice(run));
            }
            None => {
                ranges.clear();
                ranges.resize(cells.elements(), MinMax::EMPTY);
                part.observe(scheme, ranges)?;
                params.extend(ranges.iter().map(|&range| qparams(range, scheme, part.format)));
            }
        }
        known.give(part.grid, &cells, params);
        codes.resize(part.rect.elements(), 0);
        part.encode(scheme, params, codes)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        numeric::{DType, Element, ElementVisitor, FloatFormat},
        quant::{ErrorStats, Granularity, QParams, ScaleRule, kernels::Isa, reference},
        tensor::Shape,
    };

    struct Reference<'a>(&'a [f32], &'a Grid, &'a Scheme);
    impl ElementVisitor for Reference<'_> {
        type Output = (Vec<u8>, Vec<QParams>, ErrorStats);
        fn visit<E: Element>(self) -> Self::Output {
            reference::quantize_matrix::<f32, E>(self.0, self.1, self.2).unwrap()
        }
    }

    /// Encodes the parts of a matrix that an encoder cuts it into, and compares each with the reference.
    fn agrees_with_the_reference(rows: usize, columns: usize, scheme: &Scheme, passes: usize) {
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 7919 % 2003) as f32 - 900.0) * 0.01).collect();
        let grid = Grid::new(&Shape::new(vec![rows, columns]).unwrap(), scheme.granularity).unwrap();
        let (codes, params, _) = scheme.dtype.visit(Reference(&values, &grid, scheme));
        let cut = RoundToNearest.cut(&grid);
        assert_eq!(cut.ahead, (passes == 2).then_some(grid), "{scheme:?}");
        let parameters = cut.ahead.map(|_| params.clone());
        let mut encoded = EncodedPart::default();
        let mut seen = 0;
        for rect in &cut.parts {
            let row = |row: usize| {
                let row = &values[row * columns..][rect.columns.clone()];
                Cow::Owned(row.iter().flat_map(|x| x.to_le_bytes()).collect())
            };
            let part = Block { format: FloatFormat::F32, grid: &grid, rect, isa: Isa::best(), row: &row };
            let known = Known { parameters: parameters.as_deref(), given: None };
            let error = RoundToNearest.encode(scheme, &part, known, &mut encoded).unwrap();
            assert_eq!(error.count, rect.elements() as u64);
            let expected = rect.rows.clone().flat_map(|row| &codes[row * columns..][rect.columns.clone()]);
            assert!(encoded.codes.iter().eq(expected), "codes of {rect:?} under {scheme:?}");
            let touched = grid.runs(&grid.cells_of(rect)).flat_map(|run| &params[run]);
            assert!(encoded.params.iter().eq(touched), "parameters of {rect:?} under {scheme:?}");
            seen += rect.elements();
        }
        assert_eq!(seen, values.len());
    }

    #[test]
    fn cells_that_fit_a_part_take_one_pass() {
        for dtype in DType::ALL {
            for granularity in [
                Granularity::PerTensor,
                Granularity::PerChannel { axis: 0 },
                Granularity::PerChannel { axis: 1 },
                Granularity::PerGroup { axis: 1, size: 32 },
                Granularity::PerGroup { axis: 0, size: 16 },
                Granularity::PerBlock { rows: 5, columns: 40 },
            ] {
                agrees_with_the_reference(48, 96, &Scheme::torchao(dtype, granularity), 1);
            }
        }
    }

    #[test]
    fn zero_points_are_the_references() {
        for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_integer()) {
            for granularity in [Granularity::PerChannel { axis: 0 }, Granularity::PerGroup { axis: 1, size: 32 }] {
                let scheme = Scheme { rule: ScaleRule::RangeOverSteps, ..Scheme::torchao(dtype, granularity) };
                agrees_with_the_reference(48, 96, &scheme, 1);
            }
        }
    }

    #[test]
    fn cells_larger_than_a_part_take_two_passes() {
        let rows = PART_ELEMENTS / 512 + 9;
        agrees_with_the_reference(rows, 512, &Scheme::onnx(DType::Int8, Granularity::PerTensor), 2);
        agrees_with_the_reference(rows, 512, &Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 1 }), 2);
        agrees_with_the_reference(rows, 512, &Scheme::onnx(DType::Fp8E4m3fn, Granularity::PerChannel { axis: 0 }), 1);
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused() {
        let grid = Grid { rows: 1, columns: 2, cell_rows: 1, cell_columns: 2 };
        let row = |_| Cow::Owned([1.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect());
        let rect = grid.whole();
        let part = Block { format: FloatFormat::F32, grid: &grid, rect: &rect, isa: Isa::best(), row: &row };
        let scheme = Scheme::onnx(DType::Int8, Granularity::PerTensor);
        let known = Known { parameters: None, given: None };
        let refused = RoundToNearest.encode(&scheme, &part, known, &mut EncodedPart::default());
        assert_eq!(refused, Err(QuantError::NotFinite { row: 0, column: 1 }));
    }

    #[test]
    fn cells_have_the_scales_that_they_must_have() {
        let grid = Grid { rows: 2, columns: 2, cell_rows: 1, cell_columns: 2 };
        let row = |_| Cow::Owned([127f32, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect());
        let rect = grid.whole();
        let part = Block { format: FloatFormat::F32, grid: &grid, rect: &rect, isa: Isa::best(), row: &row };
        let scheme = Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 0 });
        let known = Known { parameters: None, given: Some(&[0.0, 2.0]) };
        let mut encoded = EncodedPart::default();
        RoundToNearest.encode(&scheme, &part, known, &mut encoded).unwrap();
        assert_eq!(encoded.params.iter().map(|params| params.scale).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(encoded.codes, [127, 1, 64, 0]);
    }
}
