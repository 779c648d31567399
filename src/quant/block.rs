//! A part of a matrix: the ranges of its cells, then its codes. One thread's work; callers spread parts over threads.

use std::borrow::Cow;

use half::{bf16, f16};

use super::{
    ErrorStats, Grid, MinMax, QParams, QuantError, Rect, Scheme,
    kernels::{self, Isa},
};
use crate::numeric::{Element, ElementVisitor, FloatFormat, SourceFloat};

/// A part of a float matrix, read row by row.
pub struct Block<'a, 'd> {
    /// The format of the matrix's elements.
    pub format: FloatFormat,
    /// The matrix and its cells.
    pub grid: &'a Grid,
    /// The rows and columns of the matrix that are the part.
    pub rect: &'a Rect,
    /// The instructions to use.
    pub isa: Isa,
    /// The bytes of the part's columns in one row of the matrix.
    pub row: &'a dyn Fn(usize) -> Cow<'d, [u8]>,
}

impl std::fmt::Debug for Block<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("grid", self.grid).field("rect", self.rect).finish_non_exhaustive()
    }
}

impl<'d> Block<'_, 'd> {
    /// Widens the ranges of the cells that the part touches, row by row of cells, by what the part holds.
    pub fn observe(&self, scheme: &Scheme, ranges: &mut [MinMax]) -> Result<(), QuantError> {
        self.check(ranges.len(), self.rect.elements())?;
        match self.format {
            FloatFormat::F32 => self.observe_as::<f32>(scheme, ranges),
            FloatFormat::F16 => self.observe_as::<f16>(scheme, ranges),
            FloatFormat::Bf16 => self.observe_as::<bf16>(scheme, ranges),
        }
    }

    /// Writes the part's codes, one to a byte in row-major order. `params` has one entry for each cell touched.
    pub fn encode(&self, scheme: &Scheme, params: &[QParams], codes: &mut [u8]) -> Result<ErrorStats, QuantError> {
        self.check(params.len(), codes.len())?;
        scheme.dtype.visit(Encode { block: self, scheme, params, codes })
    }

    fn check(&self, cells: usize, codes: usize) -> Result<(), QuantError> {
        let touched = self.grid.cells_of(self.rect).elements();
        if cells == touched && codes == self.rect.elements() {
            return Ok(());
        }
        Err(QuantError::Lengths { bytes: codes, cells, touched })
    }

    /// The row's bytes, as long as they must be.
    fn row(&self, row: usize) -> Result<Cow<'d, [u8]>, QuantError> {
        let bytes = (self.row)(row);
        if bytes.len() == self.rect.columns.len() * self.format.size() {
            return Ok(bytes);
        }
        Err(QuantError::Lengths { bytes: bytes.len(), cells: 1, touched: self.rect.columns.len() })
    }

    /// The part's columns cut at the borders of cells, as offsets from its first column.
    fn segments(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (columns, step) = (self.rect.columns.clone(), self.grid.cell_columns);
        let first = columns.start / step;
        (first..columns.end.div_ceil(step)).map(move |cell| {
            let start = (cell * step).max(columns.start);
            let end = ((cell + 1).saturating_mul(step)).min(columns.end);
            start - columns.start..end - columns.start
        })
    }

    /// Where the cells of a row of the matrix begin among those touched.
    fn first_cell(&self, row: usize, across: usize) -> usize {
        (row / self.grid.cell_rows - self.rect.rows.start / self.grid.cell_rows) * across
    }

    fn observe_as<S: SourceFloat>(&self, scheme: &Scheme, ranges: &mut [MinMax]) -> Result<(), QuantError> {
        let across = self.grid.cells_of(self.rect).columns.len();
        let size = S::FORMAT.size();
        for row in self.rect.rows.clone() {
            let bytes = self.row(row)?;
            let first = self.first_cell(row, across);
            let cells = &mut ranges[first..first + across];
            if self.grid.cell_columns == 1 {
                if !kernels::min_max_columns::<S>(self.isa, &bytes, cells) {
                    return Err(self.not_finite::<S>(row, &bytes));
                }
                continue;
            }
            for (cell, segment) in cells.iter_mut().zip(self.segments()) {
                let values = &bytes[segment.start * size..segment.end * size];
                let range = if scheme.rule.is_asymmetric() {
                    kernels::min_max::<S>(self.isa, values)
                } else {
                    kernels::absmax::<S>(self.isa, values).map(MinMax::symmetric)
                };
                cell.merge(range.ok_or_else(|| self.not_finite::<S>(row, &bytes))?);
            }
        }
        Ok(())
    }

    fn not_finite<S: SourceFloat>(&self, row: usize, bytes: &[u8]) -> QuantError {
        let column = bytes.chunks_exact(S::FORMAT.size()).position(|x| !S::read(x).to_f32().is_finite());
        QuantError::NotFinite { row, column: self.rect.columns.start + column.unwrap_or(0) }
    }

    fn encode_as<S: SourceFloat, E: Element>(
        &self,
        scheme: &Scheme,
        params: &[QParams],
        codes: &mut [u8],
    ) -> Result<ErrorStats, QuantError> {
        let across = self.grid.cells_of(self.rect).columns.len();
        let size = S::FORMAT.size();
        let mut total = ErrorStats::default();
        let width = self.rect.columns.len().max(1);
        for (row, codes) in self.rect.rows.clone().zip(codes.chunks_mut(width)) {
            let bytes = self.row(row)?;
            let first = self.first_cell(row, across);
            let params = &params[first..first + across];
            if self.grid.cell_columns == 1 {
                total.merge(&kernels::quantize_columns::<S, E>(self.isa, &bytes, params, scheme.quotient, codes));
                continue;
            }
            for (params, segment) in params.iter().zip(self.segments()) {
                let values = &bytes[segment.start * size..segment.end * size];
                total.merge(&kernels::quantize::<S, E>(
                    self.isa,
                    values,
                    *params,
                    scheme.quotient,
                    &mut codes[segment],
                ));
            }
        }
        Ok(total)
    }
}

struct Encode<'a, 'b, 'd> {
    block: &'a Block<'b, 'd>,
    scheme: &'a Scheme,
    params: &'a [QParams],
    codes: &'a mut [u8],
}

impl ElementVisitor for Encode<'_, '_, '_> {
    type Output = Result<ErrorStats, QuantError>;

    fn visit<E: Element>(self) -> Self::Output {
        let Encode { block, scheme, params, codes } = self;
        match block.format {
            FloatFormat::F32 => block.encode_as::<f32, E>(scheme, params, codes),
            FloatFormat::F16 => block.encode_as::<f16, E>(scheme, params, codes),
            FloatFormat::Bf16 => block.encode_as::<bf16, E>(scheme, params, codes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numeric::DType,
        quant::{Granularity, qparams},
        tensor::Shape,
    };

    fn quantize(dims: &[usize], values: &[f32], scheme: &Scheme) -> Result<(Vec<u8>, Vec<QParams>), QuantError> {
        let grid = Grid::new(&Shape::new(dims.to_vec()).unwrap(), scheme.granularity).unwrap();
        let rect = grid.whole();
        let row = |row: usize| {
            let row = &values[row * grid.columns..(row + 1) * grid.columns];
            Cow::Owned(row.iter().flat_map(|x| x.to_le_bytes()).collect())
        };
        let block = Block { format: FloatFormat::F32, grid: &grid, rect: &rect, isa: Isa::best(), row: &row };
        let mut ranges = vec![MinMax::EMPTY; grid.cells_of(&rect).elements()];
        block.observe(scheme, &mut ranges)?;
        let params: Vec<QParams> = ranges.into_iter().map(|range| qparams(range, scheme, FloatFormat::F32)).collect();
        let mut codes = vec![0; rect.elements()];
        block.encode(scheme, &params, &mut codes)?;
        Ok((codes, params))
    }

    #[test]
    fn channels_of_a_middle_axis_get_what_their_slices_get() {
        let values: Vec<f32> = (0..24).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        let per_channel = Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 1 });
        let (codes, params) = quantize(&[2, 3, 4], &values, &per_channel).unwrap();
        assert_eq!(params.len(), 3);
        for (channel, params) in params.iter().enumerate() {
            let index: Vec<usize> = (0..24).filter(|i| i / 4 % 3 == channel).collect();
            let slice: Vec<f32> = index.iter().map(|&i| values[i]).collect();
            let alone = quantize(&[8], &slice, &Scheme::onnx(DType::Int8, Granularity::PerTensor)).unwrap();
            assert_eq!(*params, alone.1[0]);
            assert_eq!(index.iter().map(|&i| codes[i]).collect::<Vec<_>>(), alone.0);
        }
    }

    #[test]
    fn the_first_bad_value_is_named() {
        let values = [1.0, 2.0, 0.0, f32::NAN, f32::INFINITY, 0.0];
        for axis in [0, 1] {
            let scheme = Scheme::torchao(DType::Int8, Granularity::PerChannel { axis });
            assert_eq!(quantize(&[3, 2], &values, &scheme), Err(QuantError::NotFinite { row: 1, column: 1 }));
        }
    }

    #[test]
    fn an_empty_tensor_has_no_codes() {
        for granularity in [Granularity::PerTensor, Granularity::PerChannel { axis: 0 }] {
            let scheme = Scheme::torchao(DType::Fp8E4m3fn, granularity);
            assert!(quantize(&[0, 5], &[], &scheme).unwrap().0.is_empty());
        }
    }

    #[test]
    fn buffers_of_another_length_are_refused() {
        let grid = Grid { rows: 1, columns: 4, cell_rows: 1, cell_columns: 2 };
        let rect = grid.whole();
        let row = |_| Cow::Owned(vec![0; 12]);
        let block = Block { format: FloatFormat::F32, grid: &grid, rect: &rect, isa: Isa::best(), row: &row };
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerTensor);
        let refused = |result| matches!(result, Err(QuantError::Lengths { .. }));
        assert!(refused(block.observe(&scheme, &mut [MinMax::EMPTY; 1])), "one range for two cells");
        assert!(refused(block.observe(&scheme, &mut [MinMax::EMPTY; 2])), "a row of three values");
        let params = [QParams { scale: 1.0, zero_point: 0 }; 2];
        assert!(refused(block.encode(&scheme, &params, &mut [0; 5]).map(drop)), "five codes for four values");
    }
}
