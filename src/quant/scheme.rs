//! [`Scheme`]: everything that decides which code a weight gets, as named choices.

use serde::{Serialize, Serializer};

use crate::numeric::{DType, FloatFormat, ScaleFormat};

/// How many elements share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// One scale for the whole tensor.
    PerTensor,
    /// One scale for each index along `axis`.
    PerChannel {
        /// The axis of the channels; 0 is the output channel of a PyTorch weight.
        axis: usize,
    },
    /// In a matrix, one scale for each `size` neighbours along `axis`, the axis that a product sums over.
    PerGroup {
        /// The axis that is cut into groups; 1 for a PyTorch weight.
        axis: usize,
        /// Elements of a group.
        size: usize,
    },
    /// In a matrix, one scale for each block of `rows × columns`; blocks at the edges may be smaller.
    PerBlock {
        /// Rows of a block.
        rows: usize,
        /// Columns of a block.
        columns: usize,
    },
}

impl Granularity {
    /// The name in plans and reports, e.g. `per_group_128`.
    pub fn name(self) -> String {
        match self {
            Granularity::PerTensor => "per_tensor".to_owned(),
            Granularity::PerChannel { .. } => "per_channel".to_owned(),
            Granularity::PerGroup { size, .. } => format!("per_group_{size}"),
            Granularity::PerBlock { rows, columns } => format!("per_block_{rows}x{columns}"),
        }
    }
}

impl Serialize for Granularity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// How the range of a block becomes its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScaleRule {
    /// `amax / m`, where `m` is the largest code: 127 for int8 of modelopt, onnxruntime and TensorRT, 7 for int4, 448 for
    /// E4M3FN, 57,344 for E5M2. Codes stay within ±m.
    AmaxOverMax,
    /// `amax / 63`: int8 with one bit to spare, for CPUs whose integer kernels add pairs of products in 16 bits.
    AmaxOver63,
    /// `amax / h`, where `h` is half the range of codes: 127.5 for int8 of torchao and compressed-tensors, 7.5 for int4.
    /// −amax gets the least code and +amax saturates. A float format is symmetric, so there it is [`Self::AmaxOverMax`].
    AmaxOverHalfRange,
    /// `(max − min) / n`, where `n` is the number of codes less one: 255 or 15; the zero point makes 0 exact.
    RangeOverSteps,
    /// The same without a least scale: that of activations, which may all be small.
    RangeOverStepsOfAny,
    /// A power of 2, that of a block of a microscaling format.
    PowerOfTwo,
}

impl ScaleRule {
    /// What amax, or the range, is divided by.
    pub fn divisor(self, dtype: DType) -> f32 {
        let spec = dtype.spec();
        match self {
            ScaleRule::AmaxOverMax | ScaleRule::PowerOfTwo => spec.max,
            ScaleRule::AmaxOver63 => 63.0,
            ScaleRule::AmaxOverHalfRange => (spec.max - spec.min) / 2.0,
            ScaleRule::RangeOverSteps | ScaleRule::RangeOverStepsOfAny => spec.max - spec.min,
        }
    }

    /// The least scale the rule gives. torchao keeps integer scales at or above f32's epsilon, whatever the format.
    pub fn floor(self) -> Option<f32> {
        matches!(self, ScaleRule::AmaxOverHalfRange | ScaleRule::RangeOverSteps).then_some(f32::EPSILON)
    }

    /// Whether there is a zero point.
    pub fn is_asymmetric(self) -> bool {
        matches!(self, ScaleRule::RangeOverSteps | ScaleRule::RangeOverStepsOfAny)
    }

    /// The name in plans, manifests and reports, e.g. `amax/127.5`.
    pub fn name(self, dtype: DType) -> String {
        let numerator = if self.is_asymmetric() { "(max-min)" } else { "amax" };
        let quotient = format!("{numerator}/{}", self.divisor(dtype));
        if self == ScaleRule::PowerOfTwo { format!("power_of_two({quotient})") } else { quotient }
    }
}

/// How a value is divided by its scale. The two differ in the last bit and so, at a tie, in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Hash, PartialOrd, Ord)]
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

/// How a weight tensor is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scheme {
    /// The element format of the codes.
    pub dtype: DType,
    /// Which elements share a scale.
    pub granularity: Granularity,
    /// How the range becomes a scale; whether there is a zero point.
    pub rule: ScaleRule,
    /// How values are divided by it.
    pub quotient: Quotient,
    /// The format that a scale is rounded to before it is used; `None` for that of the source tensor.
    pub scale_format: Option<ScaleFormat>,
}

impl Scheme {
    /// torchao's weight-only scheme: scale rounded to the weight's own format.
    pub fn torchao(dtype: DType, granularity: Granularity) -> Self {
        let (rule, quotient) = if dtype.is_integer() {
            (ScaleRule::AmaxOverHalfRange, Quotient::Reciprocal)
        } else {
            (ScaleRule::AmaxOverMax, Quotient::Division)
        };
        Scheme { dtype, granularity, rule, quotient, scale_format: None }
    }

    /// The scheme of weights in ONNX graphs that TensorRT and onnxruntime run: f32 scales, division.
    pub fn onnx(dtype: DType, granularity: Granularity) -> Self {
        Scheme {
            dtype,
            granularity,
            rule: ScaleRule::AmaxOverMax,
            quotient: Quotient::Division,
            scale_format: Some(ScaleFormat::F32),
        }
    }

    /// The scheme of a microscaling format: blocks along the rows that share a power of 2.
    pub fn microscaled(dtype: DType) -> Self {
        let size = dtype.spec().groups.default;
        Scheme {
            dtype,
            granularity: Granularity::PerGroup { axis: 1, size },
            rule: ScaleRule::PowerOfTwo,
            quotient: Quotient::Division,
            scale_format: Some(ScaleFormat::E8m0),
        }
    }

    /// The format that scales are rounded to, for weights of `source` format.
    pub fn scale_format(&self, source: FloatFormat) -> ScaleFormat {
        self.scale_format.unwrap_or(source.into())
    }
}
