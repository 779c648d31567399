//! Codes of a row under one scale, and in the same pass what they cost.
//!
//! The row is taken in blocks that stay in the first-level cache, and each block in a few short loops. A loop is a
//! [`Kernel`] of its own: on its own it becomes the vector instructions one would write by hand, together with others it
//! does not.

use std::marker::PhantomData;

use super::{Isa, isa::Kernel};
use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::{ErrorStats, QParams, Quotient},
};

/// Independent sums, so that additions overlap; fixed, so that the result is the same on every machine.
const LANES: usize = 16;
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

/// Encodes a block.
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

/// Sums of the squares of values, errors and decoded values, lane by lane, and the largest error. Magnitudes order as
/// their bits do, and integers have a maximum that vectorizes.
struct Squares<'a> {
    scaled: &'a [f32],
    decoded: &'a [f32],
}

impl Kernel for Squares<'_> {
    type Output = ([[f32; LANES]; 3], f32);
    #[inline(always)]
    fn run(self) -> Self::Output {
        let (mut signal, mut noise, mut norm) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
        let mut max_error = [0u32; LANES];
        let ((xs, x_rest), (ys, y_rest)) = (self.scaled.as_chunks::<LANES>(), self.decoded.as_chunks::<LANES>());
        for (x, y) in xs.iter().zip(ys) {
            let mut error = [0f32; LANES];
            for lane in 0..LANES {
                error[lane] = y[lane] - x[lane];
            }
            for lane in 0..LANES {
                signal[lane] = x[lane].mul_add(x[lane], signal[lane]);
            }
            for lane in 0..LANES {
                noise[lane] = error[lane].mul_add(error[lane], noise[lane]);
            }
            for lane in 0..LANES {
                norm[lane] = y[lane].mul_add(y[lane], norm[lane]);
            }
            for lane in 0..LANES {
                max_error[lane] = max_error[lane].max(error[lane].to_bits() & 0x7fff_ffff);
            }
        }
        for (lane, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
            let error = y - x;
            signal[lane] = x.mul_add(*x, signal[lane]);
            noise[lane] = error.mul_add(error, noise[lane]);
            norm[lane] = y.mul_add(*y, norm[lane]);
            max_error[lane] = max_error[lane].max(error.to_bits() & 0x7fff_ffff);
        }
        ([signal, noise, norm], f32::from_bits(max_error.into_iter().fold(0, u32::max)))
    }
}

/// How many values saturate.
struct Clipped<'a> {
    scaled: &'a [f32],
    bounds: (f32, f32),
}

impl Kernel for Clipped<'_> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        self.scaled.iter().map(|&x| u32::from((x <= self.bounds.0) | (x >= self.bounds.1))).sum()
    }
}

/// How many codes of a block stand for 0.
struct ZeroCodes<'a, E> {
    codes: &'a [u8],
    zero_point: i8,
    kind: PhantomData<E>,
}

impl<E: Element> Kernel for ZeroCodes<'_, E> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        // Few enough at a time to be counted in bytes, of which a vector has the most.
        const FEW: usize = 128;
        let count = |codes: &[u8]| codes.iter().map(|&code| u8::from(E::is_zero(code, self.zero_point))).sum::<u8>();
        self.codes.chunks(FEW).map(|codes| u32::from(count(codes))).sum()
    }
}

/// How many values of a block are 0.
struct Zeros<'a, S> {
    values: &'a [u8],
    kind: PhantomData<S>,
}

impl<S: SourceFloat> Kernel for Zeros<'_, S> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        match S::FORMAT {
            FloatFormat::F32 => {
                let zero = |x: &[u8; 4]| u32::from(u32::from_le_bytes(*x) & 0x7fff_ffff == 0);
                self.values.as_chunks::<4>().0.iter().map(zero).sum()
            }
            FloatFormat::F16 | FloatFormat::Bf16 => {
                let zero = |x: &[u8; 2]| u16::from(u16::from_le_bytes(*x) & 0x7fff == 0);
                u32::from(self.values.as_chunks::<2>().0.iter().map(zero).sum::<u16>())
            }
        }
    }
}

/// Sums over a row in units of its scale, where no square can overflow.
#[derive(Default)]
struct Tally {
    squares: [[f64; LANES]; 3],
    max_error: f32,
    clipped: u64,
    underflowed: u64,
}

impl Tally {
    fn add(&mut self, squares: [[f32; LANES]; 3], max_error: f32) {
        for (sums, squares) in self.squares.iter_mut().zip(squares) {
            sums.iter_mut().zip(squares).for_each(|(sum, few)| *sum += f64::from(few));
        }
        self.max_error = self.max_error.max(max_error);
    }

    /// The lanes together, and in the units of the weight.
    fn stats(self, count: usize, scale: f32) -> ErrorStats {
        let square = f64::from(scale) * f64::from(scale);
        let [signal, noise, decoded] = self.squares.map(|lanes| total(lanes) * square);
        ErrorStats {
            count: count as u64,
            signal,
            noise,
            decoded,
            max_abs_error: f64::from(self.max_error) * f64::from(scale),
            clipped: self.clipped,
            underflowed: self.underflowed,
        }
    }
}

/// Halves onto halves until one is left: an order that vectorizes and is the same everywhere.
fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}
