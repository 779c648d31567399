//! The range of a row, or of each column.

use std::marker::PhantomData;

use super::{Isa, isa::Kernel};
use crate::{
    numeric::{FloatFormat, SourceFloat},
    quant::MinMax,
};

/// The largest magnitude among the elements in `row`, or `None` if one is NaN or infinite. 0 of nothing.
pub fn absmax<S: SourceFloat>(isa: Isa, row: &[u8]) -> Option<f32> {
    // The bits of a magnitude order as the magnitude does, with infinity and NaN above every finite number; integers
    // have a maximum that vectorizes.
    let amax = match S::FORMAT {
        FloatFormat::F32 => f32::from_bits(isa.run(TopBits32(row))),
        FloatFormat::F16 | FloatFormat::Bf16 => S::read(&isa.run(TopBits16(row)).to_le_bytes()).to_f32(),
    };
    amax.is_finite().then_some(amax)
}

struct TopBits32<'a>(&'a [u8]);

impl Kernel for TopBits32<'_> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        self.0.as_chunks::<4>().0.iter().map(|x| u32::from_le_bytes(*x) & 0x7fff_ffff).fold(0, u32::max)
    }
}

struct TopBits16<'a>(&'a [u8]);

impl Kernel for TopBits16<'_> {
    type Output = u16;
    #[inline(always)]
    fn run(self) -> u16 {
        self.0.as_chunks::<2>().0.iter().map(|x| u16::from_le_bytes(*x) & 0x7fff).fold(0, u16::max)
    }
}

/// The smallest and the largest element of `row`, or `None` if one is NaN or infinite.
pub fn min_max<S: SourceFloat>(isa: Isa, row: &[u8]) -> Option<MinMax> {
    let range = match S::FORMAT {
        FloatFormat::F32 => isa.run(RowMinMax::<S, 4>(row, PhantomData)),
        FloatFormat::F16 | FloatFormat::Bf16 => isa.run(RowMinMax::<S, 2>(row, PhantomData)),
    };
    // Minimum and maximum pass over a NaN; the largest magnitude does not.
    absmax::<S>(isa, row).map(|_| range)
}

struct RowMinMax<'a, S, const SIZE: usize>(&'a [u8], PhantomData<S>);

impl<S: SourceFloat, const SIZE: usize> Kernel for RowMinMax<'_, S, SIZE> {
    type Output = MinMax;
    #[inline(always)]
    fn run(self) -> MinMax {
        const LANES: usize = 16;
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (blocks, rest) = self.0.as_chunks::<SIZE>().0.as_chunks::<LANES>();
        for values in blocks {
            for lane in 0..LANES {
                let x = S::read(&values[lane]).to_f32();
                min[lane] = if x < min[lane] { x } else { min[lane] };
                max[lane] = if x > max[lane] { x } else { max[lane] };
            }
        }
        let mut all = MinMax::EMPTY;
        rest.iter().map(|x| S::read(x).to_f32()).for_each(|x| all.merge(MinMax { min: x, max: x }));
        min.into_iter().zip(max).for_each(|(min, max)| all.merge(MinMax { min, max }));
        all
    }
}

/// Widens the range of each column by the element of `row` that stands in it. False if one is NaN or infinite.
///
/// # Panics
/// If there are not as many columns as the row has elements.
pub fn min_max_columns<S: SourceFloat>(isa: Isa, row: &[u8], columns: &mut [MinMax]) -> bool {
    assert_eq!(row.len(), columns.len() * S::FORMAT.size(), "one column for each element");
    match S::FORMAT {
        FloatFormat::F32 => isa.run(Widen::<S, 4>(row, columns, PhantomData)),
        FloatFormat::F16 | FloatFormat::Bf16 => isa.run(Widen::<S, 2>(row, columns, PhantomData)),
    }
    absmax::<S>(isa, row).is_some()
}

struct Widen<'a, S, const SIZE: usize>(&'a [u8], &'a mut [MinMax], PhantomData<S>);

impl<S: SourceFloat, const SIZE: usize> Kernel for Widen<'_, S, SIZE> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (column, value) in self.1.iter_mut().zip(self.0.as_chunks::<SIZE>().0) {
            let x = S::read(value).to_f32();
            column.min = if x < column.min { x } else { column.min };
            column.max = if x > column.max { x } else { column.max };
        }
    }
}
