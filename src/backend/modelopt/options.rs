//! The options of the backend.

use serde_json::Value;

use crate::{
    backend::{BackendOption, OptionKind},
    calibration::{self, CALIBRATORS, Calibrator, DEFAULT_PERCENTILE, Target},
    numeric::{DType, FloatFormat},
    quant::{Granularity, Grid, ScaleRule, Scheme},
    spec::{LayerPlan, QuantizeSpec, Reason},
    tensor::Shape,
};

/// Keys of `backend_kwargs`.
pub(super) static OPTIONS: [BackendOption; 10] = [
    BackendOption {
        name: "block_size",
        summary: "elements of a block of int4 weights along the input axis",
        kind: OptionKind::Number(&[32, 64, 128]),
        default: "128",
    },
    BackendOption {
        name: "calibration",
        summary: "`random` takes random numbers where the job has no calibration data; ranges then mean little",
        kind: OptionKind::OneOf(&["data", RANDOM]),
        default: "data",
    },
    BackendOption {
        name: "duplicate_constants",
        summary: "whether a constant gets a copy where layers or other readers want it otherwise; else they stay native",
        kind: OptionKind::Switch,
        default: "true",
    },
    BackendOption {
        name: "fold_batch_norm",
        summary: "whether BatchNormalization becomes part of the convolution or matrix product before it",
        kind: OptionKind::Switch,
        default: "true",
    },
    BackendOption {
        name: "fold_constants",
        summary: "whether what moves a constant about, such as a Transpose, is done once and for all",
        kind: OptionKind::Switch,
        default: "true",
    },
    BackendOption {
        name: "high_precision_dtype",
        summary: "what the rest of the graph computes in: f32 models may become f16, their inputs and outputs excepted",
        kind: OptionKind::OneOf(&["fp32", "fp16"]),
        default: "fp32",
    },
    BackendOption {
        name: "percentile",
        summary: "the percentile of algorithm `percentile`, in percent",
        kind: OptionKind::Between(50.0, 100.0),
        default: "99.99",
    },
    BackendOption {
        name: "placement",
        summary: "which inputs get Q/DQ pairs: what TensorRT fuses, what onnxruntime fuses, or only layers with weights",
        kind: OptionKind::OneOf(&["tensorrt", "onnxruntime", "minimal"]),
        default: "tensorrt",
    },
    BackendOption {
        name: "reduce_range",
        summary: "int8 weights use 7 of their 8 bits, so that integer kernels of x86 CPUs without VNNI do not saturate",
        kind: OptionKind::Switch,
        default: "true for placement onnxruntime, else false",
    },
    BackendOption {
        name: "sensitivity_layers",
        summary: "how many layers are quantized alone to see what they cost, the most suspicious first",
        kind: OptionKind::Whole(0, 10_000),
        default: "8 where there is evaluation data, else 0",
    },
];

/// The value of option `calibration` that asks for random numbers.
const RANDOM: &str = "random";

/// Whose rules say which inputs get Q/DQ pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// TensorRT's.
    TensorRt,
    /// onnxruntime's.
    OnnxRuntime,
    /// The inputs of layers with weights, and nothing else.
    Minimal,
}

/// The options of one job, their types checked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    algorithm: &'static Calibrator,
    block_size: usize,
    /// Whether constants are copied where readers want them otherwise.
    pub(super) duplicate_constants: bool,
    /// Whether what moves constants about is folded.
    pub(super) fold_constants: bool,
    /// Whether BatchNormalization is folded.
    pub(super) fold_batch_norm: bool,
    /// Whether the graph is carried to f16.
    pub(super) to_half: bool,
    percentile: f64,
    /// Whether random numbers may take the place of calibration data.
    pub(super) random: bool,
    sensitivity_layers: Option<usize>,
    /// Which inputs get Q/DQ pairs.
    pub(super) placement: Placement,
    reduce_range: bool,
}

impl Options {
    /// From a section that passed the backends' check.
    pub(super) fn new(spec: &QuantizeSpec) -> Self {
        let option = |name: &str| spec.backend_kwargs.get(name).filter(|value| !value.is_null());
        let placement = match option("placement").and_then(Value::as_str) {
            Some("onnxruntime") => Placement::OnnxRuntime,
            Some("minimal") => Placement::Minimal,
            _ => Placement::TensorRt,
        };
        Options {
            algorithm: spec.algorithm.as_deref().and_then(calibration::find).unwrap_or(&CALIBRATORS[0]),
            block_size: option("block_size").and_then(Value::as_u64).map_or(128, |n| n as usize),
            duplicate_constants: option("duplicate_constants").and_then(Value::as_bool).unwrap_or(true),
            fold_constants: option("fold_constants").and_then(Value::as_bool).unwrap_or(true),
            fold_batch_norm: option("fold_batch_norm").and_then(Value::as_bool).unwrap_or(true),
            to_half: option("high_precision_dtype").and_then(Value::as_str) == Some("fp16"),
            percentile: option("percentile").and_then(Value::as_f64).unwrap_or(DEFAULT_PERCENTILE),
            placement,
            random: option("calibration").and_then(Value::as_str) == Some(RANDOM),
            sensitivity_layers: option("sensitivity_layers").and_then(Value::as_u64).map(|n| n as usize),
            reduce_range: option("reduce_range")
                .and_then(Value::as_bool)
                .unwrap_or(placement == Placement::OnnxRuntime),
        }
    }

    /// How many layers are tried alone.
    pub(super) fn sensitivity_layers(&self, evaluated: bool) -> usize {
        const DEFAULT: usize = 8;
        self.sensitivity_layers.unwrap_or(if evaluated { DEFAULT } else { 0 })
    }

    /// The algorithm for a layer's inputs.
    pub(super) fn algorithm(&self, plan: &LayerPlan) -> &'static Calibrator {
        plan.algorithm.as_deref().and_then(calibration::find).unwrap_or(self.algorithm)
    }

    /// What a range is chosen for.
    pub(super) fn target(&self, dtype: DType) -> Target {
        Target { dtype, percentile: self.percentile }
    }

    /// How a weight of this shape is quantized, with its output channels along `axis`, or why it is not.
    ///
    /// int8 and fp8 have a scale for each output channel; int4 has one for each block along the input axis of a matrix.
    pub(super) fn weight_scheme(&self, dtype: DType, shape: &Shape, axis: usize) -> Result<(Scheme, Grid), Reason> {
        let per_channel = Granularity::PerChannel { axis };
        let per_block = Granularity::PerGroup { axis: 1 - axis.min(1), size: self.block_size };
        let narrow = dtype.spec().bits == 4;
        if narrow && shape.dims().last().is_none_or(|columns| columns % 2 != 0) {
            return Err(Reason::ShapeUnsupported); // two codes to a byte
        }
        let blocks = Grid::new(shape, per_block).filter(|_| narrow);
        if blocks.is_some_and(|grid| !grid.is_even()) {
            return Err(Reason::GroupRagged);
        }
        let granularity = if blocks.is_some() { per_block } else { per_channel };
        let grid = Grid::new(shape, granularity).ok_or(Reason::ShapeUnsupported)?;
        let rule =
            if self.reduce_range && dtype == DType::Int8 { ScaleRule::AmaxOver63 } else { ScaleRule::AmaxOverMax };
        Ok((Scheme { rule, scale_format: None, ..Scheme::onnx(dtype, granularity) }, grid))
    }

    /// How an activation is quantized: one scale, in the format of the tensor.
    pub(super) fn activation_scheme(dtype: DType) -> Scheme {
        Scheme { scale_format: None, ..Scheme::onnx(dtype, Granularity::PerTensor) }
    }

    /// The least version of ONNX's operators that a result with these dtypes needs; `half` if the model computes in f16.
    pub(super) fn needed_opset(spec: &QuantizeSpec, half: bool) -> i64 {
        const HALF_SCALES: i64 = 19;
        let halves = spec.layers.iter().flat_map(|rule| [rule.weights, rule.activations]).flatten();
        let dtypes = halves.filter_map(|half| half.dtype.dtype()).map(|dtype| dtype.spec().onnx_opset);
        dtypes.max().unwrap_or(0).max(if half { HALF_SCALES } else { 0 })
    }
}

/// The formats of weights that the engine computes with.
pub(super) const FORMATS: [FloatFormat; 2] = [FloatFormat::F32, FloatFormat::F16];
