//! The formats that scales are stored in, apart from those that models come in.

use half::{bf16, f16};

use super::float::FloatFormat;

/// The format of a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScaleFormat {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// A power of 2 from 2^-127 to 2^127, its exponent in a byte (E8M0 of the OCP microscaling specification).
    E8m0,
}

/// The facts of one scale format.
#[derive(Clone, Copy, Debug)]
pub struct ScaleFormatSpec {
    /// Bytes of a scale.
    pub size: usize,
    /// The dtype string of a safetensors header.
    pub safetensors: &'static str,
    /// ONNX's `TensorProto.DataType` number.
    pub onnx: i32,
    /// The first ONNX opset whose QuantizeLinear and DequantizeLinear take such scales.
    pub onnx_opset: i64,
}

impl ScaleFormat {
    /// Every format, which the tests of formats go through.
    pub const ALL: [ScaleFormat; 4] = [ScaleFormat::F32, ScaleFormat::F16, ScaleFormat::Bf16, ScaleFormat::E8m0];

    /// The facts of the format: size, and its names in safetensors and ONNX.
    pub const fn spec(self) -> ScaleFormatSpec {
        match self {
            ScaleFormat::F32 => ScaleFormatSpec { size: 4, safetensors: "F32", onnx: 1, onnx_opset: 10 },
            ScaleFormat::F16 => ScaleFormatSpec { size: 2, safetensors: "F16", onnx: 10, onnx_opset: 19 },
            ScaleFormat::Bf16 => ScaleFormatSpec { size: 2, safetensors: "BF16", onnx: 16, onnx_opset: 19 },
            // As compressed-tensors stores it; ONNX's type is FLOAT8E8M0.
            ScaleFormat::E8m0 => ScaleFormatSpec { size: 1, safetensors: "U8", onnx: 24, onnx_opset: 24 },
        }
    }

    /// `scale` rounded (half to even) to this format.
    pub fn round(self, scale: f32) -> f32 {
        match self {
            ScaleFormat::F32 => scale,
            ScaleFormat::F16 => f16::from_f32(scale).to_f32(),
            ScaleFormat::Bf16 => bf16::from_f32(scale).to_f32(),
            ScaleFormat::E8m0 => power_of_two(e8m0(scale)),
        }
    }

    /// The smallest positive number of this format.
    pub fn smallest_positive(self) -> f32 {
        match self {
            ScaleFormat::F32 => f32::from_bits(1),
            ScaleFormat::F16 => f16::MIN_POSITIVE_SUBNORMAL.to_f32(),
            ScaleFormat::Bf16 => bf16::MIN_POSITIVE_SUBNORMAL.to_f32(),
            ScaleFormat::E8m0 => power_of_two(0),
        }
    }

    /// Appends the little-endian bytes of scales, each rounded to this format.
    pub fn encode(self, scales: impl Iterator<Item = f32>, out: &mut Vec<u8>) {
        match self {
            ScaleFormat::F32 => out.extend(scales.flat_map(f32::to_le_bytes)),
            ScaleFormat::F16 => out.extend(scales.flat_map(|scale| f16::from_f32(scale).to_le_bytes())),
            ScaleFormat::Bf16 => out.extend(scales.flat_map(|scale| bf16::from_f32(scale).to_le_bytes())),
            ScaleFormat::E8m0 => out.extend(scales.map(e8m0)),
        }
    }
}

/// A scale in the format of the tensor that it belongs to.
/// The exponent, 127 added, of the power of 2 that is as large as a number or the next smaller one.
fn e8m0(scale: f32) -> u8 {
    // Of numbers below the smallest normal one, and of NaN, the ends of the range.
    (scale.to_bits() >> 23 & 0xff).min(254) as u8
}

/// 2^(code − 127).
pub(crate) fn power_of_two(code: u8) -> f32 {
    f32::from_bits(if code == 0 { 1 << 22 } else { u32::from(code) << 23 })
}

impl From<FloatFormat> for ScaleFormat {
    fn from(format: FloatFormat) -> Self {
        match format {
            FloatFormat::F32 => ScaleFormat::F32,
            FloatFormat::F16 => ScaleFormat::F16,
            FloatFormat::Bf16 => ScaleFormat::Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(format: ScaleFormat, bytes: &[u8]) -> f32 {
        match (format, bytes) {
            (ScaleFormat::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (ScaleFormat::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (ScaleFormat::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            (ScaleFormat::E8m0, &[code]) => power_of_two(code),
            _ => panic!("{format:?} in {} bytes", bytes.len()),
        }
    }

    #[test]
    fn what_is_encoded_is_what_is_rounded() {
        for format in ScaleFormat::ALL {
            for scale in [1.0 / 127.0, 3.0e-5, 1e-8, 1024.3, format.smallest_positive()] {
                let mut bytes = vec![0xee];
                format.encode([scale, 1.0].into_iter(), &mut bytes);
                assert_eq!(bytes.len(), 1 + 2 * format.spec().size, "appended: {format:?}");
                let (first, second) = bytes[1..].split_at(format.spec().size);
                assert_eq!((decode(format, first), decode(format, second)), (format.round(scale), 1.0), "{format:?}");
            }
        }
    }

    #[test]
    fn half_of_the_smallest_positive_number_rounds_to_zero() {
        for format in ScaleFormat::ALL {
            let least = format.smallest_positive();
            assert!(least > 0.0 && format.round(least) == least);
            let below = if format == ScaleFormat::E8m0 { least } else { 0.0 };
            assert_eq!(format.round(least / 2.0), below, "{format:?}");
        }
    }

    #[test]
    fn rounding_goes_to_the_even_neighbour() {
        // 1 + 2^-11 lies between two f16, 1 + 2^-8 between two bf16; 1 is the even one.
        assert_eq!(ScaleFormat::F16.round(1.0 + 2f32.powi(-11)), 1.0);
        assert_eq!(ScaleFormat::Bf16.round(1.0 + 2f32.powi(-8)), 1.0);
        assert_eq!(ScaleFormat::F32.round(1.0 + f32::EPSILON), 1.0 + f32::EPSILON);
    }
}
