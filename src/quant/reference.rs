//! The same arithmetic as the kernels, one value at a time, written to be read. The oracle of every fast path.

use super::{ErrorStats, Quotient, Scheme, scale_for};
use crate::numeric::{Element, FloatFormat, SourceFloat};

/// The largest magnitude of a row, or `None` if a value is NaN or infinite.
pub fn absmax<S: SourceFloat>(row: &[S]) -> Option<f32> {
    row.iter().map(|x| x.to_f32()).try_fold(0f32, |amax, x| x.is_finite().then(|| amax.max(x.abs())))
}

/// The code of one value.
pub fn quantize_one<E: Element>(x: f32, scale: f32, quotient: Quotient) -> u8 {
    match quotient {
        Quotient::Division => E::encode(x / scale),
        Quotient::Reciprocal => E::encode(x * (1.0 / scale)),
    }
}

/// Quantizes a row with a scale of its own: the codes, the scale and the cost.
pub fn quantize_row<S: SourceFloat, E: Element>(row: &[S], scheme: &Scheme) -> Option<(Vec<u8>, f32, ErrorStats)> {
    let scale = scale_for(absmax(row)?, scheme, S::FORMAT);
    let codes: Vec<u8> = row.iter().map(|x| quantize_one::<E>(x.to_f32(), scale, scheme.quotient)).collect();
    let mut stats = ErrorStats::default();
    for (x, &code) in row.iter().zip(&codes) {
        let (x, decoded) = (x.to_f32(), E::decode(code) * scale);
        stats.add(x, decoded);
        let scaled = x / scale;
        stats.clipped += u64::from(scaled <= E::CLIPPED.0 || scaled >= E::CLIPPED.1);
        stats.underflowed += u64::from(x != 0.0 && decoded == 0.0);
    }
    Some((codes, scale, stats))
}

/// The elements of a byte slice; a ragged end is not read.
pub fn elements<S: SourceFloat>(bytes: &[u8]) -> Vec<S> {
    bytes.chunks_exact(FloatFormat::size(S::FORMAT)).map(S::read).collect()
}
