//! Whole tensors in memory: the kernels, spread over threads.

use std::borrow::Cow;

use rayon::prelude::*;

use super::{Block, ErrorStats, Granularity, Grid, MinMax, QParams, Rect, Scheme, kernels::Isa, qparams};
use crate::{
    numeric::FloatFormat,
    tensor::{Channels, Shape, TensorView},
};

/// Elements of a part that one thread works on. Fixed, so that sums over parts are the same on every machine.
pub const PART_ELEMENTS: usize = 1 << 18;

/// Why a tensor cannot be quantized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantError {
    /// A weight is NaN or infinite.
    #[error("the value at row {row}, column {column} is NaN or infinite")]
    NotFinite {
        /// Its index on the first axis.
        row: usize,
        /// Its index within the row, all other axes counted as one.
        column: usize,
    },
    /// The scheme's granularity does not apply to the tensor's shape.
    #[error("granularity {granularity} does not apply to a tensor of shape {shape}")]
    Granularity {
        /// The granularity's name.
        granularity: String,
        /// The tensor's shape.
        shape: Shape,
    },
    /// A buffer's length is not what the block needs.
    #[error("buffers of {bytes} bytes and {cells} cells where {touched} cells are touched")]
    Lengths {
        /// Bytes given.
        bytes: usize,
        /// Cells given.
        cells: usize,
        /// Cells needed.
        touched: usize,
    },
}

/// A quantized tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// One code per element, in the order of the source.
    pub codes: Vec<u8>,
    /// Scale and zero point of each cell of the grid, row by row.
    pub params: Vec<QParams>,
    /// What it cost.
    pub error: ErrorStats,
}

impl Quantized {
    /// The scales alone.
    pub fn scales(&self) -> Vec<f32> {
        self.params.iter().map(|params| params.scale).collect()
    }
}

/// Quantizes a tensor, with channels along any axis.
pub fn quantize(view: TensorView<'_>, scheme: &Scheme) -> Result<Quantized, QuantError> {
    let refused = || QuantError::Granularity { granularity: scheme.granularity.name(), shape: view.shape().clone() };
    if let Some(grid) = Grid::new(view.shape(), scheme.granularity) {
        return quantize_matrix(view.format(), view.bytes(), &grid, scheme);
    }
    let Granularity::PerChannel { axis } = scheme.granularity else { return Err(refused()) };
    let channels = Channels::along(view.shape(), axis).ok_or_else(refused)?;
    let front = match view.format() {
        FloatFormat::F32 => to_front::<4>(&channels, view.bytes()),
        FloatFormat::F16 | FloatFormat::Bf16 => to_front::<2>(&channels, view.bytes()),
    };
    let columns = channels.len();
    let grid = Grid { rows: channels.channels, columns, cell_rows: 1, cell_columns: columns.max(1) };
    let mut result = quantize_matrix(view.format(), &front, &grid, scheme)?;
    let moved = std::mem::take(&mut result.codes);
    channels.reversed().to_front(&moved, &mut result.codes);
    Ok(result)
}

fn to_front<const SIZE: usize>(channels: &Channels, bytes: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    channels.to_front(bytes.as_chunks::<SIZE>().0, &mut moved);
    moved.into_flattened()
}

/// Quantizes a matrix: a pass for the extents, a pass for the codes. Neither depends on the number of threads.
fn quantize_matrix(format: FloatFormat, bytes: &[u8], grid: &Grid, scheme: &Scheme) -> Result<Quantized, QuantError> {
    let isa = Isa::best();
    let pieces = grid.pieces(PART_ELEMENTS);
    let (down, across) = grid.cells();
    let row_of = |rect: &Rect| {
        let columns = rect.columns.clone();
        move |row: usize| {
            let start = (row * grid.columns + columns.start) * format.size();
            Cow::Borrowed(&bytes[start..start + columns.len() * format.size()])
        }
    };
    let observed: Vec<Result<Vec<MinMax>, QuantError>> = pieces
        .par_iter()
        .map(|rect| {
            let mut ranges = vec![MinMax::EMPTY; grid.cells_of(rect).elements()];
            let row = row_of(rect);
            Block { format, grid, rect, isa, row: &row }.observe(scheme, &mut ranges)?;
            Ok(ranges)
        })
        .collect();
    let mut ranges = vec![MinMax::EMPTY; down * across];
    for (rect, observed) in pieces.iter().zip(observed) {
        let cells = grid.cells_of(rect);
        // The first bad piece is the one named, whichever thread was first.
        for (run, part) in grid.runs(&cells).zip(observed?.chunks(cells.columns.len().max(1))) {
            ranges[run].iter_mut().zip(part).for_each(|(cell, &range)| cell.merge(range));
        }
    }
    let params: Vec<QParams> = ranges.iter().map(|&range| qparams(range, scheme, format)).collect();

    let mut codes = vec![0; grid.rows * grid.columns];
    let mut rest = &mut codes[..];
    let parts: Vec<(&Rect, &mut [u8])> =
        pieces.iter().map(|rect| (rect, rest.split_off_mut(..rect.elements()).unwrap_or_default())).collect();
    let errors: Vec<Result<ErrorStats, QuantError>> = parts
        .into_par_iter()
        .map(|(rect, codes)| {
            let runs = grid.runs(&grid.cells_of(rect)).map(|run| &params[run]);
            let params = runs.collect::<Vec<_>>().concat();
            let row = row_of(rect);
            Block { format, grid, rect, isa, row: &row }.encode(scheme, &params, codes)
        })
        .collect();
    let mut error = ErrorStats::default();
    for part in errors {
        error.merge(&part?);
    }
    Ok(Quantized { codes, params, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::DType;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn a_middle_axis_gives_what_its_slices_give() {
        let shape = Shape::new(vec![2, 3, 4]).unwrap();
        let values: Vec<f32> = (0..24).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        let data = bytes(&values);
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        let got = quantize(view, &Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 1 })).unwrap();
        for channel in 0..3 {
            let index: Vec<usize> = (0..24).filter(|i| i / 4 % 3 == channel).collect();
            let slice = bytes(&index.iter().map(|&i| values[i]).collect::<Vec<_>>());
            let flat = Shape::new(vec![8]).unwrap();
            let view = TensorView::new(FloatFormat::F32, &flat, &slice).unwrap();
            let alone = quantize(view, &Scheme::onnx(DType::Int8, Granularity::PerTensor)).unwrap();
            assert_eq!(got.params[channel], alone.params[0]);
            assert_eq!(index.iter().map(|&i| got.codes[i]).collect::<Vec<_>>(), alone.codes);
        }
    }

    #[test]
    fn the_first_bad_value_is_named() {
        let shape = Shape::new(vec![3, 2]).unwrap();
        let data = bytes(&[1.0, 2.0, 0.0, f32::NAN, f32::INFINITY, 0.0]);
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        for axis in [0, 1] {
            let scheme = Scheme::torchao(DType::Int8, Granularity::PerChannel { axis });
            assert_eq!(quantize(view, &scheme), Err(QuantError::NotFinite { row: 1, column: 1 }));
        }
    }

    #[test]
    fn empty_tensors_and_granularities_that_do_not_apply() {
        let shape = Shape::new(vec![0, 5]).unwrap();
        let view = TensorView::new(FloatFormat::F32, &shape, &[]).unwrap();
        for granularity in [Granularity::PerTensor, Granularity::PerChannel { axis: 0 }] {
            assert!(quantize(view, &Scheme::torchao(DType::Fp8E4m3fn, granularity)).unwrap().codes.is_empty());
        }
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerChannel { axis: 2 });
        assert!(matches!(quantize(view, &scheme), Err(QuantError::Granularity { .. })));
    }

    #[test]
    fn one_thread_and_many_give_the_same_bits() {
        let shape = Shape::new(vec![640, 1033]).unwrap();
        let data = bytes(&(0..640 * 1033).map(|i| ((i % 9973 * 7919) % 1000) as f32 * 0.001).collect::<Vec<_>>());
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        for granularity in [Granularity::PerTensor, Granularity::PerChannel { axis: 1 }] {
            let scheme = Scheme::torchao(DType::Int8, granularity);
            assert_eq!(pool(1).install(|| quantize(view, &scheme)), pool(5).install(|| quantize(view, &scheme)));
        }
    }
}
