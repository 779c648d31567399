//! Codes of a row under one scale.

use multiversion::multiversion;

use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::Quotient,
};

/// Writes the code of every element of `row` to `codes`.
///
/// # Panics
/// If `codes` is not as long as the row has elements.
pub fn quantize<S: SourceFloat, E: Element>(row: &[u8], scale: f32, quotient: Quotient, codes: &mut [u8]) {
    assert_eq!(row.len(), codes.len() * S::FORMAT.size(), "one code for each element");
    let operand = quotient.operand(scale);
    match (S::FORMAT, quotient) {
        (FloatFormat::F32, Quotient::Division) => divide::<S, E, 4>(row, operand, codes),
        (FloatFormat::F32, Quotient::Reciprocal) => multiply::<S, E, 4>(row, operand, codes),
        (_, Quotient::Division) => divide::<S, E, 2>(row, operand, codes),
        (_, Quotient::Reciprocal) => multiply::<S, E, 2>(row, operand, codes),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn divide<S: SourceFloat, E: Element, const SIZE: usize>(row: &[u8], scale: f32, codes: &mut [u8]) {
    for (code, x) in codes.iter_mut().zip(row.as_chunks::<SIZE>().0) {
        *code = E::encode(S::read(x).to_f32() / scale);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn multiply<S: SourceFloat, E: Element, const SIZE: usize>(row: &[u8], reciprocal: f32, codes: &mut [u8]) {
    for (code, x) in codes.iter_mut().zip(row.as_chunks::<SIZE>().0) {
        *code = E::encode(S::read(x).to_f32() * reciprocal);
    }
}
