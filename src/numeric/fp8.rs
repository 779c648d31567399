//! The 8-bit float formats of the OCP 8-bit floating point specification: E4M3FN and E5M2.
//!
//! Encoding works on the bits alone and has no data-dependent branch, so that the compiler vectorizes it.

use super::{
    element::{DTypeSpec, Element, Groups},
    packing::Packing,
};

/// 4 exponent bits (bias 7), 3 mantissa bits, no infinities; the largest value is 448.
#[derive(Clone, Copy, Debug)]
pub struct E4m3fn;

/// 5 exponent bits (bias 15), 2 mantissa bits, with infinities; the largest finite value is 57,344.
#[derive(Clone, Copy, Debug)]
pub struct E5m2;

impl Element for E4m3fn {
    const SPEC: DTypeSpec = DTypeSpec {
        name: "fp8_e4m3fn",
        aliases: &["float8_e4m3fn"],
        bits: 8,
        packing: Packing::Bytes,
        groups: Groups::OPTIONAL,
        float: true,
        min: -448.0,
        max: 448.0,
        safetensors: "F8_E4M3",
        onnx: 17,
        onnx_opset: 19,
    };
    // 464 lies between 448 and 480, which would be the NaN code; the tie goes to 448.
    const CLIPPED: (f32, f32) = ((-464f32).next_down(), 464f32.next_up());

    #[inline(always)]
    fn quantize(x: f32, _: i8) -> (u8, f32) {
        quantize::<3, 7>(x, Self::SPEC.max)
    }

    #[inline(always)]
    fn decode(code: u8) -> f32 {
        let magnitude = decode::<3, 7>(code & 0x7f);
        sign(code, if code & 0x7f == 0x7f { f32::NAN } else { magnitude })
    }
}

/// E4M3FN in blocks of 32 that share a power of 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mxfp8;

impl Element for Mxfp8 {
    const SPEC: DTypeSpec =
        DTypeSpec { name: "mxfp8", aliases: &[], groups: Groups::MICROSCALED, onnx_opset: 23, ..E4m3fn::SPEC };
    const CLIPPED: (f32, f32) = E4m3fn::CLIPPED;

    #[inline(always)]
    fn quantize(x: f32, zero_point: i8) -> (u8, f32) {
        E4m3fn::quantize(x, zero_point)
    }

    #[inline(always)]
    fn decode(code: u8) -> f32 {
        E4m3fn::decode(code)
    }
}

impl Element for E5m2 {
    const SPEC: DTypeSpec = DTypeSpec {
        name: "fp8_e5m2",
        aliases: &["float8_e5m2"],
        bits: 8,
        packing: Packing::Bytes,
        groups: Groups::OPTIONAL,
        float: true,
        min: -57_344.0,
        max: 57_344.0,
        safetensors: "F8_E5M2",
        onnx: 19,
        onnx_opset: 19,
    };
    // 61,440 lies between 57,344 and 65,536, which is infinity; the tie goes there.
    const CLIPPED: (f32, f32) = (-61_440.0, 61_440.0);

    #[inline(always)]
    fn quantize(x: f32, _: i8) -> (u8, f32) {
        quantize::<2, 15>(x, Self::SPEC.max)
    }

    #[inline(always)]
    fn decode(code: u8) -> f32 {
        let special = if code & 0x7f == 0x7c { f32::INFINITY } else { f32::NAN };
        let finite = decode::<2, 15>(code & 0x7f);
        sign(code, if code & 0x7c == 0x7c { special } else { finite })
    }
}

/// Rounds half to even to `MANTISSA` bits under an exponent bias of `BIAS`, saturating at `max`, itself a code.
#[inline(always)]
pub(super) fn quantize<const MANTISSA: u32, const BIAS: u32>(x: f32, max: f32) -> (u8, f32) {
    let sign = x.to_bits() & 0x8000_0000;
    let finite = (x.to_bits() & 0x7fff_ffff).min(max.to_bits());
    // Below the smallest normal number the step is that of the smallest normal number.
    let smallest_normal = (128 - BIAS) << 23;
    let exponent = (finite & 0x7f80_0000).max(smallest_normal);
    // Adding the power of 2 whose own last bit is worth a step makes the float unit do the rounding.
    let dropped = 23 - MANTISSA;
    let anchor = exponent + (dropped << 23);
    let sum = f32::from_bits(finite) + f32::from_bits(anchor);
    let value = sum - f32::from_bits(anchor);
    let steps = sum.to_bits().wrapping_sub(anchor);
    // Every exponent above the smallest is worth 2^MANTISSA codes, as the steps to it are.
    let code = steps + ((exponent - smallest_normal) >> dropped);
    let (code, value) = if x.is_nan() { (0x7f, f32::NAN) } else { (code, value) };
    ((code | sign >> 24) as u8, f32::from_bits(value.to_bits() | sign))
}

/// The magnitude of a code without its sign bit, special codes read as if they were finite.
#[inline(always)]
pub(super) fn decode<const MANTISSA: u32, const BIAS: u32>(code: u8) -> f32 {
    let exponent = u32::from(code) >> MANTISSA;
    let mantissa = u32::from(code) & ((1 << MANTISSA) - 1);
    let step = f32::from_bits((128 - BIAS - MANTISSA) << 23);
    let subnormal = mantissa as f32 * step;
    let normal = f32::from_bits((exponent + 127 - BIAS) << 23 | mantissa << (23 - MANTISSA));
    if exponent == 0 { subnormal } else { normal }
}

#[inline(always)]
fn sign(code: u8, magnitude: f32) -> f32 {
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest code found by looking at every code: slow and obviously right.
    fn encode_by_search<E: Element>(x: f32) -> f32 {
        let x = x.clamp(E::SPEC.min, E::SPEC.max);
        let mut best = (f64::INFINITY, 0u8);
        for code in (0..=u8::MAX).filter(|&c| E::decode(c).is_finite()) {
            let distance = (f64::from(E::decode(code)) - f64::from(x)).abs();
            if distance < best.0 || (distance == best.0 && code & 1 == 0) {
                best = (distance, code);
            }
        }
        E::decode(best.1)
    }

    fn agrees_with_search<E: Element>() {
        let mut state = 1u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let exponent = (state >> 5) % 60 + 127 - 30;
            let x = f32::from_bits((state & 0x8000_0000) | exponent << 23 | (state.rotate_left(7) & 0x7f_ffff));
            let (code, value) = E::quantize(x, 0);
            assert_eq!(E::decode(code), encode_by_search::<E>(x), "{x:e}");
            assert_eq!(E::decode(code), value);
        }
    }

    fn codes_survive<E: Element>() {
        for code in 0..=u8::MAX {
            let x = E::decode(code);
            if x.is_finite() {
                assert_eq!(E::quantize(x, 0), (code, x));
            }
        }
        assert!(E::decode(E::encode(f32::NAN)).is_nan());
    }

    #[test]
    fn every_finite_code_survives_a_round_trip() {
        codes_survive::<E4m3fn>();
        codes_survive::<E5m2>();
    }

    #[test]
    fn the_encoder_finds_the_nearest_code() {
        agrees_with_search::<E4m3fn>();
        agrees_with_search::<E5m2>();
    }
}
