//! From the range of a block to its scale and zero point, the degenerate cases spelled out.

use super::{ScaleRule, Scheme};
use crate::numeric::{FloatFormat, power_of_two};

/// The smallest and the largest value of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinMax {
    /// The smallest value; infinity if there was none.
    pub min: f32,
    /// The largest value; minus infinity if there was none.
    pub max: f32,
}

impl MinMax {
    /// Of nothing: the neutral element of [`MinMax::merge`].
    pub const EMPTY: MinMax = MinMax { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// Of values whose largest magnitude is `amax`, nothing else being known.
    pub fn symmetric(amax: f32) -> Self {
        MinMax { min: -amax, max: amax }
    }

    /// That of both together.
    pub fn merge(&mut self, other: MinMax) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The largest magnitude; 0 of nothing.
    pub fn amax(self) -> f32 {
        self.max.max(-self.min).max(0.0)
    }
}

/// The scale and the zero point of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QParams {
    /// What a step between codes is worth. Never 0, never NaN.
    pub scale: f32,
    /// The code of 0; 0 in a symmetric scheme.
    pub zero_point: i8,
}

impl QParams {
    /// The code of 0 where the codes of an 8-bit integer are counted from 0 on: 128 more.
    pub fn unsigned_zero_point(self) -> u8 {
        (self.zero_point as u8) ^ 0x80
    }
}

/// The parameters of a block of weights of `source` format.
///
/// Symmetric: the scale is [`scale_for`] the largest magnitude. Asymmetric: the range is widened to include 0,
/// `scale = (max − min) / steps`, rounded to the scale's format and not below the rule's floor, and
/// `zero_point = round(least − min / scale)`, saturated.
pub fn qparams(range: MinMax, scheme: &Scheme, source: FloatFormat) -> QParams {
    if !scheme.rule.is_asymmetric() {
        return QParams { scale: scale_for(range.amax(), scheme, source), zero_point: 0 };
    }
    let (min, max) = (range.min.min(0.0), range.max.max(0.0));
    let spec = scheme.dtype.spec();
    // Halved first: the range of finite values may itself be infinite.
    let half = max / 2.0 - min / 2.0;
    let scale = rounded(half / (scheme.rule.divisor(scheme.dtype) / 2.0), scheme, source);
    let zero_point = (spec.min - min / scale).round_ties_even().clamp(spec.min, spec.max);
    QParams { scale, zero_point: zero_point as i8 }
}

/// The scale of a block whose largest magnitude is `amax`, for weights of `source` format. Never 0, never NaN.
///
/// - `amax / divisor` in f32, rounded to the scale's format (torchao computes it in the weight's own format);
/// - not below the rule's floor;
/// - a block of zeros without a floor gets 1, and so decodes to zeros (torchao's fp8 gives scale 0 and a row of NaN);
/// - a scale that rounds to 0 is the smallest positive number of its format.
pub fn scale_for(amax: f32, scheme: &Scheme, source: FloatFormat) -> f32 {
    if scheme.rule == ScaleRule::PowerOfTwo {
        return microscale(amax, scheme.dtype.spec().max);
    }
    if amax == 0.0 && scheme.rule.floor().is_none() {
        return 1.0;
    }
    rounded(amax / scheme.rule.divisor(scheme.dtype), scheme, source)
}

/// The power of 2 that a block of a microscaling format shares: with amax = m·2^e and the format's largest number, whose own
/// exponent is o, 2^(e − o), and twice that from m = 1.75 on. compressed-tensors' rule; that of the OCP specification, which never
/// doubles, saturates there.
fn microscale(amax: f32, max: f32) -> f32 {
    let exponent = |x: f32| x.to_bits() >> 23 & 0xff;
    let doubled = u32::from(amax.to_bits() & 0x7f_ffff >= 0x60_0000);
    let code = (exponent(amax) + doubled + 127).saturating_sub(exponent(max)).min(254);
    power_of_two(if exponent(amax) == 0 { 0 } else { code as u8 })
}

fn rounded(scale: f32, scheme: &Scheme, source: FloatFormat) -> f32 {
    let format = scheme.scale_format(source);
    format.round(scale).max(scheme.rule.floor().unwrap_or_else(|| format.smallest_positive()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numeric::{DType, ScaleFormat},
        quant::Granularity,
    };

    #[test]
    fn the_degenerate_scales() {
        let int8 = Scheme::torchao(DType::Int8, Granularity::PerTensor);
        let fp8 = Scheme::torchao(DType::Fp8E4m3fn, Granularity::PerTensor);
        let onnx = Scheme::onnx(DType::Int8, Granularity::PerTensor);
        assert_eq!(scale_for(0.0, &int8, FloatFormat::F32), f32::EPSILON);
        assert_eq!(scale_for(0.0, &fp8, FloatFormat::F16), 1.0);
        assert_eq!(scale_for(0.0, &onnx, FloatFormat::F32), 1.0);
        assert_eq!(scale_for(1e-6, &fp8, FloatFormat::F16), ScaleFormat::F16.smallest_positive());
        assert_eq!(scale_for(f32::from_bits(1), &onnx, FloatFormat::F32), f32::from_bits(1));
    }

    #[test]
    fn the_scale_is_rounded_to_the_weights_format() {
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerTensor);
        let scale = scale_for(1.0, &scheme, FloatFormat::Bf16);
        assert_eq!(scale, half::bf16::from_f32(1.0 / 127.5).to_f32());
        assert_ne!(scale, 1.0 / 127.5);
    }

    #[test]
    fn an_asymmetric_range_includes_zero_and_is_never_infinite() {
        let scheme = Scheme { rule: ScaleRule::RangeOverSteps, ..Scheme::onnx(DType::Int4, Granularity::PerTensor) };
        let of = |min, max| qparams(MinMax { min, max }, &scheme, FloatFormat::F32);
        assert_eq!(of(-1.0, 14.0), QParams { scale: 1.0, zero_point: -7 });
        assert_eq!(of(15.0, 30.0), QParams { scale: 2.0, zero_point: -8 });
        assert_eq!(of(-30.0, -15.0), QParams { scale: 2.0, zero_point: 7 });
        assert_eq!(of(0.0, 0.0), QParams { scale: f32::EPSILON, zero_point: -8 });
        assert!(of(f32::MIN, f32::MAX).scale.is_finite());
    }

    #[test]
    fn blocks_of_microscaling_formats_share_the_power_of_two_that_their_largest_number_fits() {
        let scale = |dtype: DType, amax: f32| scale_for(amax, &Scheme::microscaled(dtype), FloatFormat::F32);
        for (amax, expected) in
            [(6.0, 1.0), (4.0, 1.0), (6.99, 1.0), (7.0, 2.0), (3.5, 1.0), (3.49, 0.5), (0.02, 0.004)]
        {
            let found = scale(DType::Mxfp4, amax);
            assert!(found <= expected && found > expected / 2.0 && found.log2().fract() == 0.0, "{amax}: {found}");
        }
        assert_eq!((scale(DType::Mxfp8, 448.0), scale(DType::Mxfp8, 447.0)), (2.0, 1.0));
        let least = ScaleFormat::E8m0.smallest_positive();
        assert_eq!((scale(DType::Mxfp4, 0.0), scale(DType::Mxfp4, 1e-40)), (least, least));
        assert_eq!(scale(DType::Mxfp4, f32::MAX), 2f32.powi(126));
    }
}
