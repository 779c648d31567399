//! The 4-bit float format of the OCP microscaling specification, E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.

use super::{
    element::{DTypeSpec, Element, Groups},
    fp8,
    packing::Packing,
};

/// E2M1 in blocks of 32 that share a power of 2. The sign is the code's bit 3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mxfp4;

impl Element for Mxfp4 {
    const SPEC: DTypeSpec = DTypeSpec {
        name: "mxfp4",
        aliases: &[],
        bits: 4,
        packing: Packing::Nibbles,
        groups: Groups::MICROSCALED,
        float: true,
        min: -6.0,
        max: 6.0,
        safetensors: "U8",
        onnx: 23,
        onnx_opset: 23,
    };
    // 7 lies between 6 and 8, which would be the next number; the tie goes there.
    const CLIPPED: (f32, f32) = (-7.0, 7.0);

    #[inline(always)]
    fn quantize(x: f32, _: i8) -> (u8, f32) {
        let (code, value) = fp8::quantize::<1, 1>(x, Self::SPEC.max);
        (code & 7 | code >> 4 & 8, value)
    }

    #[inline(always)]
    fn decode(code: u8) -> f32 {
        let magnitude = fp8::decode::<1, 1>(code & 7);
        if code & 8 == 0 { magnitude } else { -magnitude }
    }

    #[inline(always)]
    fn is_zero(code: u8, _: i8) -> bool {
        code & 7 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_eight_magnitudes_and_a_sign() {
        let magnitudes: Vec<f32> = (0..8).map(Mxfp4::decode).collect();
        assert_eq!(magnitudes, [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
        assert!((8..16).map(Mxfp4::decode).eq(magnitudes.iter().map(|magnitude| -magnitude)));
    }

    #[test]
    fn every_number_gets_the_nearest_code_and_of_two_the_even_one() {
        for step in -800..=800 {
            let x = step as f32 / 100.0;
            let distance = |code: u8| (Mxfp4::decode(code) - x).abs();
            let signed = (0..8u8).map(|code| if x < 0.0 { code | 8 } else { code });
            let nearest =
                signed.min_by(|&a, &b| distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1)))).unwrap();
            assert_eq!(Mxfp4::quantize(x, 0), (nearest, Mxfp4::decode(nearest)), "{x}");
        }
        assert_eq!(Mxfp4::encode(-0.0), 8);
    }
}
