//! The largest magnitude of a row.

use multiversion::multiversion;

use crate::numeric::{FloatFormat, SourceFloat};

/// The largest magnitude among the elements in `row`, or `None` if one is NaN or infinite. 0 of nothing.
pub fn absmax<S: SourceFloat>(row: &[u8]) -> Option<f32> {
    let (amax, bad) = match S::FORMAT {
        FloatFormat::F32 => bits::<S, 4>(row),
        FloatFormat::F16 | FloatFormat::Bf16 => bits::<S, 2>(row),
    };
    (!bad).then_some(amax)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bits<S: SourceFloat, const SIZE: usize>(row: &[u8]) -> (f32, bool) {
    // The bits of a magnitude order as the magnitude does, with infinity and NaN above every finite number; integers
    // have a maximum that vectorizes.
    let top = row.as_chunks::<SIZE>().0.iter().map(|x| S::read(x).to_f32().to_bits() & 0x7fff_ffff).fold(0, u32::max);
    (f32::from_bits(top), top >= 0x7f80_0000)
}
