//! What values become when they are quantized and decoded again, without a file in between.

use std::borrow::Cow;

use rayon::prelude::*;

use super::{Block, ErrorStats, Grid, MinMax, PART_ELEMENTS, QParams, QuantError, Rect, Scheme, kernels::Isa, qparams};
use crate::numeric::{Element, ElementVisitor, FloatFormat};

/// Writes to `decoded` what the codes of `values` stand for, and says what that costs. `params` has one entry for each cell
/// of the grid, or is `None` where the scheme finds them from the values, which are then an error if not finite.
pub fn simulate(
    values: &[f32],
    grid: &Grid,
    scheme: &Scheme,
    params: Option<&[QParams]>,
    decoded: &mut [f32],
) -> Result<ErrorStats, QuantError> {
    let elements = grid.whole().elements();
    let (down, across) = grid.cells();
    let given = params.map_or(down * across, <[QParams]>::len);
    if values.len() != elements || decoded.len() != elements || given != down * across {
        return Err(QuantError::Lengths { bytes: values.len(), cells: given, touched: down * across });
    }
    let found;
    let params = match params {
        Some(params) => params,
        None => {
            let ranges =
                cell_ranges(grid, scheme, FloatFormat::F32, &|row| row_bytes(values, grid, &grid.whole(), row))?;
            found = ranges.into_iter().map(|range| qparams(range, scheme, FloatFormat::F32)).collect::<Vec<_>>();
            &found
        }
    };
    let pieces = grid.pieces(PART_ELEMENTS);
    let mut rest = decoded;
    let parts: Vec<(&Rect, &mut [f32])> =
        pieces.iter().map(|rect| (rect, rest.split_off_mut(..rect.elements()).unwrap_or_default())).collect();
    let errors: Vec<Result<ErrorStats, QuantError>> = parts
        .into_par_iter()
        .map(|(rect, decoded)| {
            let own = grid.runs(&grid.cells_of(rect)).map(|run| &params[run]).collect::<Vec<_>>().concat();
            let mut codes = vec![0; rect.elements()];
            let row = |row: usize| row_bytes(values, grid, rect, row);
            let block = Block { format: FloatFormat::F32, grid, rect, isa: Isa::best(), row: &row };
            let error = block.encode(scheme, &own, &mut codes)?;
            let cells_across = grid.cells_of(rect).columns.len();
            let width = rect.columns.len().max(1);
            for (row, (decoded, codes)) in rect.rows.clone().zip(decoded.chunks_mut(width).zip(codes.chunks(width))) {
                let first = (row / grid.cell_rows - rect.rows.start / grid.cell_rows) * cells_across;
                let params = &own[first..first + cells_across];
                scheme.dtype.visit(Decode { codes, params, grid, from: rect.columns.start, decoded });
            }
            Ok(error)
        })
        .collect();
    let mut total = ErrorStats::default();
    for part in errors {
        total.merge(&part?);
    }
    Ok(total)
}

/// The range of each cell of a weight, from which its parameters follow: `row` gives the bytes of a row of its matrix. Values
/// that are not finite are an error.
pub fn cell_ranges<'a>(
    grid: &Grid,
    scheme: &Scheme,
    format: FloatFormat,
    row: &dyn Fn(usize) -> Cow<'a, [u8]>,
) -> Result<Vec<MinMax>, QuantError> {
    let whole = grid.whole();
    let (down, across) = grid.cells();
    let mut ranges = vec![MinMax::EMPTY; down * across];
    Block { format, grid, rect: &whole, isa: Isa::best(), row }.observe(scheme, &mut ranges)?;
    Ok(ranges)
}

fn row_bytes(values: &[f32], grid: &Grid, rect: &Rect, row: usize) -> Cow<'static, [u8]> {
    let start = row * grid.columns;
    let row = values.get(start + rect.columns.start..start + rect.columns.end).unwrap_or_default();
    let mut bytes = vec![0; size_of_val(row)];
    bytes.as_chunks_mut::<4>().0.iter_mut().zip(row).for_each(|(bytes, x)| *bytes = x.to_le_bytes());
    Cow::Owned(bytes)
}

/// What the codes of a row stand for, `params` being those of the cells that the row passes through.
struct Decode<'a> {
    codes: &'a [u8],
    params: &'a [QParams],
    grid: &'a Grid,
    /// The row's first column.
    from: usize,
    decoded: &'a mut [f32],
}

impl ElementVisitor for Decode<'_> {
    type Output = ();
    fn visit<E: Element>(self) {
        let decode = |code: u8, params: &QParams| (E::decode(code) - f32::from(params.zero_point)) * params.scale;
        if self.grid.cell_columns == 1 {
            for ((decoded, code), params) in self.decoded.iter_mut().zip(self.codes).zip(self.params) {
                *decoded = decode(*code, params);
            }
            return;
        }
        let (mut codes, mut decoded) = (self.codes, self.decoded);
        // The first cell may have begun before the row's part.
        let mut length = self.grid.cell_columns - self.from % self.grid.cell_columns;
        for params in self.params {
            let (cell, rest) = codes.split_at(length.min(codes.len()));
            let (out, left) = decoded.split_at_mut(cell.len());
            out.iter_mut().zip(cell).for_each(|(out, code)| *out = decode(*code, params));
            (codes, decoded, length) = (rest, left, self.grid.cell_columns);
        }
    }
}

/// A scheme's grid over a tensor that has one scale.
pub fn one_cell(elements: usize) -> Grid {
    Grid { rows: 1, columns: elements, cell_rows: 1, cell_columns: elements.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numeric::DType,
        quant::{Granularity, reference},
    };

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 % 1009) as f32 - 500.0) * 0.01).collect()
    }

    #[test]
    fn it_decodes_what_the_reference_encodes() {
        struct Twin<'a>(&'a [f32], &'a Grid, &'a Scheme);
        impl ElementVisitor for Twin<'_> {
            type Output = (Vec<f32>, Vec<QParams>);
            fn visit<E: Element>(self) -> Self::Output {
                let Twin(values, grid, scheme) = self;
                let (codes, params, _) = reference::quantize_matrix::<f32, E>(values, grid, scheme).unwrap();
                let across = grid.cells().1;
                let cell =
                    |at: usize| at / grid.columns / grid.cell_rows * across + at % grid.columns / grid.cell_columns;
                let decode = |(at, code): (usize, &u8)| E::decode(*code) * params[cell(at)].scale;
                (codes.iter().enumerate().map(decode).collect(), params)
            }
        }
        let values = values(24 * 40);
        for dtype in DType::ALL {
            for (rows, columns) in [(24, 40), (1, 40), (24, 1), (1, 8), (3, 5)] {
                let grid = Grid { rows: 24, columns: 40, cell_rows: rows, cell_columns: columns };
                let scheme = Scheme::onnx(dtype, Granularity::PerTensor);
                let (slow, params) = dtype.visit(Twin(&values, &grid, &scheme));
                let mut fast = vec![0.0; values.len()];
                for given in [None, Some(&params[..])] {
                    let error = simulate(&values, &grid, &scheme, given, &mut fast).unwrap();
                    assert_eq!(fast, slow, "{dtype} {rows}x{columns}");
                    assert_eq!(error.count, 960);
                }
            }
        }
    }

    #[test]
    fn large_tensors_go_in_parts_and_lengths_are_checked() {
        let values = values(3 * PART_ELEMENTS + 17);
        let grid = one_cell(values.len());
        let scheme = Scheme::onnx(DType::Int8, Granularity::PerTensor);
        let mut decoded = vec![0.0; values.len()];
        let error = simulate(&values, &grid, &scheme, None, &mut decoded).unwrap();
        let slow: f64 = values.iter().zip(&decoded).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        assert!((error.noise - slow).abs() < 1e-4 * slow, "{} {slow}", error.noise);
        assert!(simulate(&values, &grid, &scheme, None, &mut decoded[1..]).is_err());
        assert!(simulate(&values, &grid, &scheme, Some(&[]), &mut decoded).is_err());
    }
}
