//! What the codes of a row cost: sums over its blocks.

use std::marker::PhantomData;

use super::isa::Kernel;
use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::ErrorStats,
};

/// Independent sums, so that additions overlap; fixed, so that the result is the same on every machine.
const LANES: usize = 16;

/// Sums of the squares of values, errors and decoded values, lane by lane, and the largest error. Magnitudes order as
/// their bits do, and integers have a maximum that vectorizes.
pub(super) struct Squares<'a> {
    pub(super) scaled: &'a [f32],
    pub(super) decoded: &'a [f32],
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
pub(super) struct Clipped<'a> {
    pub(super) scaled: &'a [f32],
    pub(super) bounds: (f32, f32),
}

impl Kernel for Clipped<'_> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        self.scaled.iter().map(|&x| u32::from((x <= self.bounds.0) | (x >= self.bounds.1))).sum()
    }
}

/// How many codes of a block stand for 0.
pub(super) struct ZeroCodes<'a, E> {
    pub(super) codes: &'a [u8],
    pub(super) zero_point: i8,
    pub(super) kind: PhantomData<E>,
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
pub(super) struct Zeros<'a, S> {
    pub(super) values: &'a [u8],
    pub(super) kind: PhantomData<S>,
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
pub(super) struct Tally {
    squares: [[f64; LANES]; 3],
    max_error: f32,
    pub(super) clipped: u64,
    pub(super) underflowed: u64,
}

impl Tally {
    #[inline]
    pub(super) fn add(&mut self, squares: [[f32; LANES]; 3], max_error: f32) {
        for (sums, squares) in self.squares.iter_mut().zip(squares) {
            sums.iter_mut().zip(squares).for_each(|(sum, few)| *sum += f64::from(few));
        }
        self.max_error = self.max_error.max(max_error);
    }

    /// The lanes together, and in the units of the weight.
    #[inline]
    pub(super) fn stats(self, count: usize, scale: f32) -> ErrorStats {
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
