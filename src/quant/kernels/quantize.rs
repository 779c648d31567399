//! Codes of a row under one scale, and in the same pass what they cost.
//!
//! The row is taken in blocks that stay in the first-level cache, and each block in a few short loops. A loop is a
//! [`Kernel`] of its own: on its own it becomes the vector instructions one would write by hand, together with others it
//! does not.

use std::marker::PhantomData;

use super::{
    Isa,
    isa::Kernel,
    tally::{Clipped, Squares, Tally, ZeroCodes, Zeros},
};
use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::{ErrorStats, QParams, Quotient},
};

/// Elements of a block, after which the f32 sums of the lanes go to f64: so few that no sum loses more than a few of its
/// 24 bits.
const BLOCK: usize = 512;

/// Writes the code of every element of `row` to `codes`, and says what that costs.
///
/// # Panics
/// If `codes` is not as long as the row has elements.
pub fn quantize<S: SourceFloat, E: Element>(
    isa: Isa,
    row: &[u8],
    params: QParams,
    quotient: Quotient,
    codes: &mut [u8],
) -> ErrorStats {
    assert_eq!(row.len(), codes.len() * S::FORMAT.size(), "one code for each element");
    let zero = f32::from(params.zero_point);
    let bounds = (E::CLIPPED.0 - zero, E::CLIPPED.1 - zero);
    // What saturates is wrong by at least this much, so that few blocks need to be searched for it.
    let clipping_error = (E::CLIPPED.1 - E::SPEC.max).min(E::SPEC.min - E::CLIPPED.0);
    let mut pairs = Pairs { scaled: [0.0; BLOCK], decoded: [0.0; BLOCK] };
    let mut tally = Tally::default();
    for (values, codes) in row.chunks(BLOCK * S::FORMAT.size()).zip(codes.chunks_mut(BLOCK)) {
        encode::<S, E>(isa, values, params, quotient, codes, &mut pairs);
        let (scaled, decoded) = (&pairs.scaled[..codes.len()], &pairs.decoded[..codes.len()]);
        let (squares, max_error) = isa.run(Squares { scaled, decoded });
        tally.add(squares, max_error);
        if max_error >= clipping_error {
            tally.clipped += u64::from(isa.run(Clipped { scaled, bounds }));
        }
        let zeros = isa.run(ZeroCodes::<E> { codes, zero_point: params.zero_point, kind: PhantomData });
        tally.underflowed += u64::from(zeros - isa.run(Zeros::<S> { values, kind: PhantomData }));
    }
    tally.stats(codes.len(), params.scale)
}

/// The values of a block divided by their scale, and what their codes stand for.
struct Pairs {
    scaled: [f32; BLOCK],
    decoded: [f32; BLOCK],
}

/// Writes the codes of a block and what they stand for, in a loop compiled for the size of the elements and the quotient.
#[inline(always)]
fn encode<S: SourceFloat, E: Element>(
    isa: Isa,
    values: &[u8],
    params: QParams,
    quotient: Quotient,
    codes: &mut [u8],
    pairs: &mut Pairs,
) {
    let operand = quotient.operand(params.scale);
    let zero_point = params.zero_point;
    macro_rules! run {
        ($size:literal, $divide:literal) => {
            isa.run(Encode::<S, E, $size, $divide> { values, operand, zero_point, codes, pairs, kinds: PhantomData })
        };
    }
    match (S::FORMAT, quotient) {
        (FloatFormat::F32, Quotient::Division) => run!(4, true),
        (FloatFormat::F32, Quotient::Reciprocal) => run!(4, false),
        (_, Quotient::Division) => run!(2, true),
        (_, Quotient::Reciprocal) => run!(2, false),
    }
}

#[inline(always)]
fn scale<S: SourceFloat, const SIZE: usize, const DIVIDE: bool>(value: &[u8; SIZE], operand: f32) -> f32 {
    let x = S::read(value).to_f32();
    if DIVIDE { x / operand } else { x * operand }
}

struct Encode<'a, S, E, const SIZE: usize, const DIVIDE: bool> {
    values: &'a [u8],
    operand: f32,
    zero_point: i8,
    codes: &'a mut [u8],
    pairs: &'a mut Pairs,
    kinds: PhantomData<(S, E)>,
}

impl<S: SourceFloat, E: Element, const SIZE: usize, const DIVIDE: bool> Kernel for Encode<'_, S, E, SIZE, DIVIDE> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Pairs { scaled, decoded } = self.pairs;
        for (scaled, value) in scaled.iter_mut().zip(self.values.as_chunks::<SIZE>().0) {
            *scaled = scale::<S, SIZE, DIVIDE>(value, self.operand);
        }
        for ((code, decoded), &scaled) in self.codes.iter_mut().zip(decoded).zip(&*scaled) {
            (*code, *decoded) = E::quantize(scaled, self.zero_point);
        }
    }
}
