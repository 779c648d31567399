//! Float formats in ONNX's numbers and bytes.

use half::{bf16, f16};

use super::proto::data_type;
use crate::numeric::FloatFormat;

impl FloatFormat {
    /// ONNX's number of the format.
    pub fn onnx(self) -> i32 {
        match self {
            FloatFormat::F32 => data_type::FLOAT,
            FloatFormat::F16 => data_type::FLOAT16,
            FloatFormat::Bf16 => data_type::BFLOAT16,
        }
    }

    /// The format with ONNX's number, if it is one.
    pub fn from_onnx(number: i32) -> Option<Self> {
        [FloatFormat::F32, FloatFormat::F16, FloatFormat::Bf16].into_iter().find(|format| format.onnx() == number)
    }

    /// The little-endian bytes of `x`, rounded to this format.
    pub fn encode(self, x: f32) -> Vec<u8> {
        match self {
            FloatFormat::F32 => x.to_le_bytes().to_vec(),
            FloatFormat::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
            FloatFormat::Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
        }
    }

    /// The values that little-endian bytes of this format hold.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.as_chunks::<2>().0.iter();
        match self {
            FloatFormat::F32 => bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            FloatFormat::F16 => halves().map(|x| f16::from_le_bytes(*x).to_f32()).collect(),
            FloatFormat::Bf16 => halves().map(|x| bf16::from_le_bytes(*x).to_f32()).collect(),
        }
    }
}
