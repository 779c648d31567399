//! Integer element formats.

use super::{DTypeSpec, Element};

/// Signed 8-bit integer, two's complement.
#[derive(Clone, Copy, Debug)]
pub struct Int8;

impl Element for Int8 {
    const SPEC: DTypeSpec = DTypeSpec {
        name: "int8",
        aliases: &["i8"],
        bits: 8,
        min: -128.0,
        max: 127.0,
        safetensors: "I8",
        onnx: 3,
        onnx_opset: 13,
    };
    // 127.5 is a tie that goes to 128; -128.5 is one that goes to -128, so the next number below it is the first.
    const CLIPPED: (f32, f32) = ((-128.5f32).next_down(), 127.5);

    #[inline(always)]
    #[expect(clippy::manual_clamp, reason = "clamp keeps a NaN, max and min turn it into the least code")]
    fn encode(x: f32) -> u8 {
        // 1.5 * 2^23: after the addition the mantissa's last bit is worth 1, so the addition itself rounds half to
        // even and the low byte is the two's complement code. Unlike `round_ties_even` it needs no SSE4.1.
        const ROUND: f32 = 12_582_912.0;
        (x.max(Self::SPEC.min).min(Self::SPEC.max) + ROUND).to_bits() as u8
    }

    #[inline(always)]
    fn decode(code: u8) -> f32 {
        f32::from(code as i8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_standard_library_rounds() {
        for step in -5_200..=5_200 {
            let x = step as f32 / 40.0;
            let expected = x.round_ties_even().clamp(-128.0, 127.0);
            assert_eq!(Int8::decode(Int8::encode(x)), expected, "{x}");
        }
        assert_eq!(Int8::decode(Int8::encode(f32::MAX)), 127.0);
        // onnxruntime's QuantizeLinear gives a NaN the least code as well.
        assert_eq!(Int8::decode(Int8::encode(f32::NAN)), -128.0);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=u8::MAX {
            assert_eq!(Int8::encode(Int8::decode(code)), code);
        }
    }
}
