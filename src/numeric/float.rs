//! The float formats that models come in: f32, f16 and bf16.

use half::{bf16, f16};
use serde::Serialize;

/// A float format of a source tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatFormat {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl FloatFormat {
    /// Bytes of an element: 2 or 4.
    pub const fn size(self) -> usize {
        match self {
            FloatFormat::F32 => 4,
            FloatFormat::F16 | FloatFormat::Bf16 => 2,
        }
    }
}

/// An element of a source tensor as it lies in memory: little endian, no alignment asked for.
pub trait SourceFloat: Copy + Send + Sync + 'static {
    /// The format that elements of this type have.
    const FORMAT: FloatFormat;
    /// The value as f32; exact.
    fn to_f32(self) -> f32;
    /// The element that the first bytes of `bytes` hold.
    fn read(bytes: &[u8]) -> Self;
}

impl SourceFloat for f32 {
    const FORMAT: FloatFormat = FloatFormat::F32;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl SourceFloat for bf16 {
    const FORMAT: FloatFormat = FloatFormat::Bf16;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        bf16::from_bits(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

impl SourceFloat for f16 {
    const FORMAT: FloatFormat = FloatFormat::F16;
    /// Shifts exponent and mantissa into place and multiplies by 2^112, the difference of the two biases; that is
    /// right for subnormal numbers too and vectorizes without hardware conversion.
    #[inline(always)]
    fn to_f32(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let shifted = (bits & 0x7fff) << 13;
        let finite = (f32::from_bits(shifted) * f32::from_bits((112 + 127) << 23)).to_bits();
        let magnitude = if shifted >= 31 << 23 { shifted | 0x7f80_0000 } else { finite };
        f32::from_bits(magnitude | (bits & 0x8000) << 16)
    }
    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        f16::from_bits(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_half_precision_patterns_widen_as_the_half_crate_widens_them() {
        for bits in 0..=u16::MAX {
            let (a, b) = (SourceFloat::to_f32(f16::from_bits(bits)), f16::from_bits(bits).to_f32());
            assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "f16 {bits:#06x}");
            let (a, b) = (SourceFloat::to_f32(bf16::from_bits(bits)), bf16::from_bits(bits).to_f32());
            assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "bf16 {bits:#06x}");
        }
    }
}
