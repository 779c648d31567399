//! The magnitudes that a dtype can stand for, and where between them rounding changes sides.

use crate::{
    numeric::{DType, Element, ElementVisitor},
    quant::ScaleRule,
};

/// The magnitudes of a dtype's codes in rising order, in units of the largest, which is 1.
#[derive(Debug)]
pub(super) struct Levels(pub(super) Vec<f64>);

impl Levels {
    /// Of all codes of `dtype`. The least code of an integer format, one below the negative of the largest, has no
    /// positive counterpart and is left out.
    pub(super) fn of(dtype: DType) -> Self {
        struct Positive;
        impl ElementVisitor for Positive {
            type Output = Vec<f64>;
            fn visit<E: Element>(self) -> Vec<f64> {
                let max = f64::from(E::SPEC.max);
                (0..=u8::MAX)
                    .map(|code| f64::from(E::decode(code)))
                    .filter(|&value| value >= 0.0 && value <= max)
                    .map(|value| value / max)
                    .collect()
            }
        }
        let mut levels = dtype.visit(Positive);
        levels.sort_by(f64::total_cmp);
        levels.dedup_by(|a, b| a == b);
        Levels(levels)
    }

    /// The middles between neighbours.
    pub(super) fn middles(&self) -> Vec<f64> {
        self.0.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect()
    }
}

/// The number of codes of an integer dtype, less one.
pub(super) fn steps(dtype: DType) -> usize {
    ScaleRule::RangeOverSteps.divisor(dtype) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_even_steps_and_floats_are_not() {
        let int8 = Levels::of(DType::Int8).0;
        assert_eq!((int8.len(), int8[0], int8[1], int8[127]), (128, 0.0, 1.0 / 127.0, 1.0));
        assert_eq!(Levels::of(DType::Int4).0.len(), 8);
        assert_eq!((steps(DType::Int8), steps(DType::Int4)), (255, 15));
        let fp8 = Levels::of(DType::Fp8E4m3fn).0;
        assert_eq!((fp8.len(), fp8[125], fp8[126]), (127, 416.0 / 448.0, 1.0));
        assert_eq!(Levels::of(DType::Fp8E5m2).0.len(), 124);
    }
}
