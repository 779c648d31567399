//! Integer element formats: signed, two's complement, of any width up to a byte.

use super::{
    element::{DTypeSpec, Element, Groups},
    packing::Packing,
};

/// Signed 8-bit integer, two's complement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int8;

/// Signed 4-bit integer, two's complement; its code is sign-extended in a byte until it is packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int4;

/// The arithmetic is the same whatever the width.
macro_rules! integer {
    ($format:ident, $spec:expr) => {
        impl Element for $format {
            const SPEC: DTypeSpec = $spec;
            // `max + 0.5` is a tie that goes up, beyond the range; `min - 0.5` is one that goes to `min`, so the next number
            // below it is the first that saturates.
            const CLIPPED: (f32, f32) = ((Self::SPEC.min - 0.5).next_down(), Self::SPEC.max + 0.5);

            #[inline(always)]
            fn quantize(x: f32, zero_point: i8) -> (u8, f32) {
                quantize(x, zero_point, Self::SPEC.min, Self::SPEC.max)
            }

            #[inline(always)]
            fn decode(code: u8) -> f32 {
                f32::from(code as i8)
            }
        }
    };
}

integer!(
    Int8,
    DTypeSpec {
        name: "int8",
        aliases: &["i8"],
        bits: 8,
        packing: Packing::Bytes,
        groups: Groups::OPTIONAL,
        float: false,
        min: -128.0,
        max: 127.0,
        safetensors: "I8",
        onnx: 3,
        onnx_opset: 13,
    }
);

integer!(
    Int4,
    DTypeSpec {
        name: "int4",
        aliases: &["i4"],
        bits: 4,
        packing: Packing::Nibbles,
        groups: Groups::REQUIRED,
        float: false,
        min: -8.0,
        max: 7.0,
        safetensors: "I32",
        onnx: 22,
        onnx_opset: 21,
    }
);

#[inline(always)]
fn quantize(x: f32, zero_point: i8, min: f32, max: f32) -> (u8, f32) {
    // 1.5 * 2^23: after the addition the mantissa's last bit is worth 1, so the addition itself rounds half to even and
    // the low byte is the two's complement of the result. Unlike `round_ties_even` it needs no SSE4.1.
    const ROUND: f32 = 12_582_912.0;
    let zero = f32::from(zero_point);
    // Not `clamp`, which keeps a NaN: maximum and minimum turn it into the least code.
    let rounded = x.max(min - zero).min(max - zero) + ROUND;
    (rounded.to_bits().wrapping_add(zero_point as u32) as u8, rounded - ROUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizes_as_the_standard_library_rounds() {
        fn check<E: Element>(zero_points: &[i8]) {
            let (min, max) = (E::SPEC.min, E::SPEC.max);
            for &zero_point in zero_points {
                let zero = f32::from(zero_point);
                for step in -5_200..=5_200 {
                    let x = step as f32 / 40.0;
                    let expected = (x.round_ties_even() + zero).clamp(min, max);
                    let (code, value) = E::quantize(x, zero_point);
                    assert_eq!((E::decode(code), value), (expected, expected - zero), "{x} from {zero_point}");
                }
            }
            assert_eq!(E::decode(E::encode(f32::MAX)), max);
            // onnxruntime's QuantizeLinear gives a NaN the least code as well.
            assert_eq!(E::decode(E::encode(f32::NAN)), min);
        }
        check::<Int8>(&[0, 1, -128, 127, -77]);
        check::<Int4>(&[0, 7, -8, 3]);
    }

    #[test]
    fn what_saturates_begins_at_the_ties_beyond_the_range() {
        assert_eq!(Int8::CLIPPED, ((-128.5f32).next_down(), 127.5));
        assert_eq!(Int4::CLIPPED, ((-8.5f32).next_down(), 7.5));
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in -128..=127i8 {
            assert_eq!(Int8::encode(Int8::decode(code as u8)), code as u8);
        }
        for code in -8..=7i8 {
            assert_eq!(Int4::encode(Int4::decode(code as u8)), code as u8);
        }
    }
}
