//! What a row's codes cost.

use multiversion::multiversion;

use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::ErrorStats,
};

/// Independent sums, so that additions overlap; fixed, so that the result is the same on every machine.
const LANES: usize = 8;

/// The error of `codes` under `scale` against the elements of `row`.
///
/// # Panics
/// If `codes` is not as long as the row has elements.
pub fn error_stats<S: SourceFloat, E: Element>(row: &[u8], codes: &[u8], scale: f32) -> ErrorStats {
    assert_eq!(row.len(), codes.len() * S::FORMAT.size(), "one code for each element");
    match S::FORMAT {
        FloatFormat::F32 => sums::<S, E, 4>(row, codes, scale),
        FloatFormat::F16 | FloatFormat::Bf16 => sums::<S, E, 2>(row, codes, scale),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn sums<S: SourceFloat, E: Element, const SIZE: usize>(row: &[u8], codes: &[u8], scale: f32) -> ErrorStats {
    let mut lanes = [[0f64; LANES]; 4];
    let mut max_abs = [0f64; LANES];
    let (mut clipped, mut underflowed) = ([0u64; LANES], [0u64; LANES]);
    let row = row.as_chunks::<SIZE>().0;
    for (values, codes) in row.chunks(LANES).zip(codes.chunks(LANES)) {
        for (lane, (value, &code)) in values.iter().zip(codes).enumerate() {
            let x = S::read(value).to_f32();
            let decoded = E::decode(code) * scale;
            let scaled = x / scale;
            clipped[lane] += u64::from(scaled <= E::CLIPPED.0 || scaled >= E::CLIPPED.1);
            underflowed[lane] += u64::from(x != 0.0 && decoded == 0.0);
            let (x, y) = (f64::from(x), f64::from(decoded));
            let error = x - y;
            lanes[0][lane] += x * x;
            lanes[1][lane] += error * error;
            lanes[2][lane] += y * y;
            lanes[3][lane] += x * y;
            max_abs[lane] = max_abs[lane].max(error.abs());
        }
    }
    ErrorStats {
        count: row.len() as u64,
        signal: lanes[0].iter().sum(),
        noise: lanes[1].iter().sum(),
        decoded: lanes[2].iter().sum(),
        dot: lanes[3].iter().sum(),
        max_abs_error: max_abs.iter().fold(0.0, |a, &b| a.max(b)),
        clipped: clipped.iter().sum(),
        underflowed: underflowed.iter().sum(),
    }
}
