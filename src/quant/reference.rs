//! The same arithmetic as the kernels, one value at a time, written to be read. The oracle of every fast path.

use super::{ErrorStats, Grid, MinMax, QParams, Quotient, Scheme, qparams};
use crate::numeric::{Element, FloatFormat, SourceFloat};

/// The range of some values, or `None` if one is NaN or infinite.
pub fn min_max<S: SourceFloat>(row: &[S]) -> Option<MinMax> {
    row.iter().map(|x| x.to_f32()).try_fold(MinMax::EMPTY, |mut all, x| {
        all.merge(MinMax { min: x, max: x });
        x.is_finite().then_some(all)
    })
}

/// A value in units of its scale.
pub fn scaled(x: f32, params: QParams, quotient: Quotient) -> f32 {
    match quotient {
        Quotient::Division => x / params.scale,
        Quotient::Reciprocal => x * (1.0 / params.scale),
    }
}

/// Quantizes a matrix with a scale for each cell of `grid`: the codes, the parameters cell by cell, and the cost.
pub fn quantize_matrix<S: SourceFloat, E: Element>(
    values: &[S],
    grid: &Grid,
    scheme: &Scheme,
) -> Option<(Vec<u8>, Vec<QParams>, ErrorStats)> {
    let (_, across) = grid.cells();
    let cell = |at: usize| at / grid.columns / grid.cell_rows * across + at % grid.columns / grid.cell_columns;
    let mut ranges = vec![MinMax::EMPTY; grid.cells().0 * across];
    for (at, value) in values.iter().enumerate() {
        ranges[cell(at)].merge(min_max(&[*value])?);
    }
    let params: Vec<QParams> = ranges.iter().map(|&range| qparams(range, scheme, S::FORMAT)).collect();
    let mut stats = ErrorStats::default();
    let code = |(at, value): (usize, &S)| {
        let (x, params) = (value.to_f32(), params[cell(at)]);
        let scaled = scaled(x, params, scheme.quotient);
        let (code, _) = E::quantize(scaled, params.zero_point);
        let zero = f32::from(params.zero_point);
        let decoded = (E::decode(code) - zero) * params.scale;
        stats.add(x, decoded);
        stats.clipped += u64::from(scaled <= E::CLIPPED.0 - zero || scaled >= E::CLIPPED.1 - zero);
        stats.underflowed += u64::from(x != 0.0 && decoded == 0.0);
        code
    };
    let codes = values.iter().enumerate().map(code).collect();
    Some((codes, params, stats))
}

/// The elements of a byte slice; a ragged end is not read.
pub fn elements<S: SourceFloat>(bytes: &[u8]) -> Vec<S> {
    bytes.chunks_exact(FloatFormat::size(S::FORMAT)).map(S::read).collect()
}
