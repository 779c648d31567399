//! [`Scheme`]: everything that decides which code a weight gets, as named choices.

use serde::{Serialize, Serializer};

use crate::numeric::{DType, FloatFormat};

/// How many elements share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// One scale for the whole tensor.
    PerTensor,
    /// One scale for each index along `axis`.
    PerChannel {
        /// The axis of the channels; 0 is the output channel of a PyTorch weight.
        axis: usize,
    },
}

impl Granularity {
    /// The name in plans and reports.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::PerTensor => "per_tensor",
            Granularity::PerChannel { .. } => "per_channel",
        }
    }
}

impl Serialize for Granularity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How the largest magnitude of a block becomes its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleRule {
    /// `amax / 127`: int8 of modelopt, onnxruntime and TensorRT; codes stay within ±127.
    AmaxOver127,
    /// `amax / 63`: int8 with one bit to spare, for CPUs whose integer kernels add pairs of products in 16 bits.
    AmaxOver63,
    /// `amax / 127.5`: int8 of torchao and compressed-tensors; −amax gets −128 and +amax saturates at 127.
    AmaxOver127Half,
    /// `amax / m`, where `m` is the largest code of a float format: 448 for E4M3FN, 57,344 for E5M2.
    AmaxOverMax,
}

impl ScaleRule {
    /// What amax is divided by.
    pub fn divisor(self, dtype: DType) -> f32 {
        match self {
            ScaleRule::AmaxOver127 => 127.0,
            ScaleRule::AmaxOver63 => 63.0,
            ScaleRule::AmaxOver127Half => 127.5,
            ScaleRule::AmaxOverMax => dtype.spec().max,
        }
    }

    /// The least scale the rule gives. torchao keeps int8 scales at or above f32's epsilon, whatever the format.
    pub fn floor(self) -> Option<f32> {
        matches!(self, ScaleRule::AmaxOver127Half).then_some(f32::EPSILON)
    }

    /// The name in plans, manifests and reports, e.g. `amax/127.5`.
    pub fn name(self, dtype: DType) -> String {
        format!("amax/{}", self.divisor(dtype))
    }
}

/// How a value is divided by its scale. The two differ in the last bit and so, at a tie, in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quotient {
    /// `x / scale`, as ONNX's QuantizeLinear and torchao's fp8 do.
    Division,
    /// `x * (1 / scale)` with the reciprocal rounded to f32, as torchao's int8 does.
    Reciprocal,
}

impl Quotient {
    /// The number that each value is divided by, or multiplied with.
    pub(crate) fn operand(self, scale: f32) -> f32 {
        match self {
            Quotient::Division => scale,
            Quotient::Reciprocal => 1.0 / scale,
        }
    }
}

/// How a weight tensor is quantized: symmetric, zero point 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The element format of the codes.
    pub dtype: DType,
    /// Which elements share a scale.
    pub granularity: Granularity,
    /// How amax becomes a scale.
    pub rule: ScaleRule,
    /// How values are divided by it.
    pub quotient: Quotient,
    /// The format that a scale is rounded to before it is used; `None` for that of the source tensor.
    pub scale_format: Option<FloatFormat>,
}

impl Scheme {
    /// torchao's weight-only scheme: per row, scale rounded to the weight's own format.
    pub fn torchao(dtype: DType, granularity: Granularity) -> Self {
        let (rule, quotient) = match dtype {
            DType::Int8 => (ScaleRule::AmaxOver127Half, Quotient::Reciprocal),
            DType::Fp8E4m3fn | DType::Fp8E5m2 => (ScaleRule::AmaxOverMax, Quotient::Division),
        };
        Scheme { dtype, granularity, rule, quotient, scale_format: None }
    }

    /// The scheme of weights in ONNX graphs that TensorRT and onnxruntime run: f32 scales, division.
    pub fn onnx(dtype: DType, granularity: Granularity) -> Self {
        let rule = match dtype {
            DType::Int8 => ScaleRule::AmaxOver127,
            DType::Fp8E4m3fn | DType::Fp8E5m2 => ScaleRule::AmaxOverMax,
        };
        Scheme { dtype, granularity, rule, quotient: Quotient::Division, scale_format: Some(FloatFormat::F32) }
    }
}
