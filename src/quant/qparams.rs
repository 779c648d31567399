//! From the largest magnitude of a block to its scale, the degenerate cases spelled out.

use super::Scheme;
use crate::numeric::FloatFormat;

/// The scale of a block whose largest magnitude is `amax`, for weights of `source` format. Never 0, never NaN.
///
/// - `amax / divisor` in f32, rounded to the scale's format (torchao computes it in the weight's own format);
/// - not below the rule's floor;
/// - a block of zeros without a floor gets 1, and so decodes to zeros (torchao's fp8 gives scale 0 and a row of NaN);
/// - a scale that rounds to 0 is the smallest positive number of its format.
pub fn scale_for(amax: f32, scheme: &Scheme, source: FloatFormat) -> f32 {
    let format = scheme.scale_format.unwrap_or(source);
    let scale = format.round(amax / scheme.rule.divisor(scheme.dtype));
    match scheme.rule.floor() {
        Some(floor) => scale.max(floor),
        None if amax == 0.0 => 1.0,
        None => scale.max(format.smallest_positive()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numeric::DType, quant::Granularity};

    #[test]
    fn the_degenerate_scales() {
        let int8 = Scheme::torchao(DType::Int8, Granularity::PerTensor);
        let fp8 = Scheme::torchao(DType::Fp8E4m3fn, Granularity::PerTensor);
        let onnx = Scheme::onnx(DType::Int8, Granularity::PerTensor);
        assert_eq!(scale_for(0.0, &int8, FloatFormat::F32), f32::EPSILON);
        assert_eq!(scale_for(0.0, &fp8, FloatFormat::F16), 1.0);
        assert_eq!(scale_for(0.0, &onnx, FloatFormat::F32), 1.0);
        assert_eq!(scale_for(1e-6, &fp8, FloatFormat::F16), FloatFormat::F16.smallest_positive());
        assert_eq!(scale_for(f32::from_bits(1), &onnx, FloatFormat::F32), f32::from_bits(1));
    }

    #[test]
    fn the_scale_is_rounded_to_the_weights_format() {
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerTensor);
        let scale = scale_for(1.0, &scheme, FloatFormat::Bf16);
        assert_eq!(scale, half::bf16::from_f32(1.0 / 127.5).to_f32());
        assert_ne!(scale, 1.0 / 127.5);
    }
}
