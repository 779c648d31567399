//! The options of the backend.

use serde_json::Value;

use super::{
    cpu::Cpu,
    placement::{self, PLACEMENTS, Placement, TENSORRT},
};
use crate::{
    backend::{
        layouts::onnx,
        options::{BackendOption, Between, Form, Number, OneOf, OptionKind, Override, Setting, Switch, Whole},
        weights::{ENCODER, Encoder},
    },
    calibration::{self, CALIBRATORS, Calibrator, DEFAULT_PERCENTILE, Target},
    numeric::{DType, FloatFormat, Groups, ScaleFormat},
    quant::{Granularity, Grid, ScaleRule, Scheme},
    spec::{LayerPlan, QuantizeSpec, Reason},
    tensor::Shape,
};

/// Keys of `backend_kwargs`, sorted by name.
pub(super) static OPTIONS: [&dyn BackendOption; 13] = [
    &ACTIVATIONS,
    &BLOCK_SIZE,
    &CALIBRATION,
    &CPU,
    &DUPLICATE_CONSTANTS,
    &ENCODER,
    &FOLD_BATCH_NORM,
    &FOLD_CONSTANTS,
    &HIGH_PRECISION_DTYPE,
    &PERCENTILE,
    &PLACEMENT,
    &REDUCE_RANGE,
    &SENSITIVITY_LAYERS,
];

static ACTIVATIONS: Setting<OneOf<Symmetry>> = Setting {
    name: "activations",
    summary: "whether int8 activations have a zero point: `auto` is what the placement's runtime is fastest with",
    form: OneOf(&[("auto", Symmetry::Auto), ("symmetric", Symmetry::Symmetric), ("asymmetric", Symmetry::Asymmetric)]),
    default: Symmetry::Auto,
};

static BLOCK_SIZE: Setting<Number> = Setting {
    name: "block_size",
    summary: "elements of a block of int4 weights along the input axis",
    form: Number(Groups::REQUIRED.sizes),
    default: Groups::REQUIRED.default,
};
static CALIBRATION: Setting<OneOf<CalibrationData>> = Setting {
    name: "calibration",
    summary: "`random` takes random numbers where the job has no calibration data; ranges then mean little",
    form: OneOf(&[("data", CalibrationData::Given), ("random", CalibrationData::Random)]),
    default: CalibrationData::Given,
};
static CPU: Setting<OneOf<Cpu>> = Setting {
    name: "cpu",
    summary: "the kind of CPU that placements onnxruntime and openvino are for; `auto` is the worker's own",
    form: OneOf(&Cpu::NAMES),
    default: Cpu::Auto,
};

static DUPLICATE_CONSTANTS: Setting<Switch> = Setting {
    name: "duplicate_constants",
    summary: "whether a constant gets a copy where layers or other readers want it otherwise; else they stay native",
    form: Switch,
    default: true,
};
static FOLD_BATCH_NORM: Setting<Switch> = Setting {
    name: "fold_batch_norm",
    summary: "whether BatchNormalization becomes part of the convolution or matrix product before it",
    form: Switch,
    default: true,
};
static FOLD_CONSTANTS: Setting<Switch> = Setting {
    name: "fold_constants",
    summary: "whether what moves a constant about, such as a Transpose, is done once and for all",
    form: Switch,
    default: true,
};
static HIGH_PRECISION_DTYPE: Setting<OneOf<FloatFormat>> = Setting {
    name: "high_precision_dtype",
    summary: "what the rest of the graph computes in: f32 models may become f16, their inputs and outputs excepted",
    form: OneOf(&[("fp32", FloatFormat::F32), ("fp16", FloatFormat::F16)]),
    default: FloatFormat::F32,
};
static PERCENTILE: Setting<Between> = Setting {
    name: "percentile",
    summary: "the percentile of algorithm `percentile`, in percent",
    form: Between(50.0, 100.0),
    default: DEFAULT_PERCENTILE,
};
static PLACEMENT: Setting<PlacementName> = Setting {
    name: "placement",
    summary: "where Q/DQ pairs stand: as TensorRT, onnxruntime or OpenVINO fuses them, or before layers with weights alone",
    form: PlacementName,
    default: &TENSORRT,
};
static REDUCE_RANGE: Override<Switch> = Override {
    name: "reduce_range",
    summary: "int8 weights use 7 of their 8 bits, so that integer kernels of x86 CPUs without VNNI do not saturate",
    form: Switch,
    default: "true for placements onnxruntime and openvino on x86 CPUs without VNNI, else false",
};
static SENSITIVITY_LAYERS: Override<Whole> = Override {
    name: "sensitivity_layers",
    summary: "how many layers are quantized alone to see what they cost, the most suspicious first",
    form: Whole(0, 10_000),
    default: "8 where there is evaluation data, else 0",
};

/// Whether activations have a zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetry {
    /// As the placement has it.
    Auto,
    /// 0 is in the middle of the codes.
    Symmetric,
    /// The codes are spread over the range from the least to the largest value.
    Asymmetric,
}

/// What ranges are taken from where the job has no calibration data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CalibrationData {
    /// Nothing: the data must be given.
    Given,
    /// Random numbers, in the shapes of the model's inputs.
    Random,
}

/// The placements by name.
#[derive(Debug)]
struct PlacementName;

impl Form for PlacementName {
    type Value = &'static Placement;

    fn kind(&self) -> OptionKind {
        OptionKind::OneOf(PLACEMENTS.iter().map(|placement| placement.name).collect())
    }

    fn parse(&self, value: &Value) -> Option<Self::Value> {
        placement::find(value.as_str()?)
    }

    fn text(&self, value: Self::Value) -> String {
        value.name.to_owned()
    }
}

/// The options of one job, their types checked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    algorithm: &'static Calibrator,
    /// Whether activations have a zero point.
    pub(super) symmetry: Symmetry,
    block_size: usize,
    /// Whether constants are copied where readers want them otherwise.
    pub(super) duplicate_constants: bool,
    /// What turns weights into codes.
    pub(super) encoder: &'static dyn Encoder,
    /// Whether what moves constants about is folded.
    pub(super) fold_constants: bool,
    /// Whether BatchNormalization is folded.
    pub(super) fold_batch_norm: bool,
    /// Whether the graph is carried to f16.
    pub(super) to_half: bool,
    /// Whether an f32 graph stays so because the job does not say otherwise.
    pub(super) in_f32_by_default: bool,
    percentile: f64,
    /// Whether random numbers may take the place of calibration data.
    pub(super) random: bool,
    sensitivity_layers: Option<usize>,
    /// Which inputs get Q/DQ pairs.
    pub(super) placement: &'static Placement,
    reduce_range: bool,
}

impl Options {
    /// From a section that passed the backends' check.
    pub(super) fn new(spec: &QuantizeSpec) -> Self {
        let placement = PLACEMENT.of(spec);
        Options {
            algorithm: spec.algorithm.as_deref().and_then(calibration::find).unwrap_or(&CALIBRATORS[0]),
            symmetry: ACTIVATIONS.of(spec),
            block_size: BLOCK_SIZE.of(spec),
            duplicate_constants: DUPLICATE_CONSTANTS.of(spec),
            encoder: ENCODER.of(spec),
            fold_constants: FOLD_CONSTANTS.of(spec),
            fold_batch_norm: FOLD_BATCH_NORM.of(spec),
            to_half: HIGH_PRECISION_DTYPE.of(spec) == FloatFormat::F16,
            in_f32_by_default: !HIGH_PRECISION_DTYPE.is_given(spec),
            percentile: PERCENTILE.of(spec),
            placement,
            random: CALIBRATION.of(spec) == CalibrationData::Random,
            sensitivity_layers: SENSITIVITY_LAYERS.of(spec),
            reduce_range: REDUCE_RANGE.of(spec).unwrap_or(placement.reduce_range && CPU.of(spec).saturates()),
        }
    }

    /// The same with the graph left in f32.
    pub(super) fn in_f32(&self) -> Self {
        Options { to_half: false, ..self.clone() }
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
        if let Some(reason) = onnx::refuses(dtype, shape) {
            return Err(reason);
        }
        let blocks = Grid::new(shape, per_block).filter(|_| dtype.spec().groups.required);
        if blocks.is_some_and(|grid| !grid.is_even()) {
            return Err(Reason::GroupRagged);
        }
        let granularity = if blocks.is_some() { per_block } else { per_channel };
        let grid = Grid::new(shape, granularity).ok_or(Reason::ShapeUnsupported)?;
        let rule =
            if self.reduce_range && dtype == DType::Int8 { ScaleRule::AmaxOver63 } else { ScaleRule::AmaxOverMax };
        Ok((Scheme { rule, scale_format: None, ..Scheme::onnx(dtype, granularity) }, grid))
    }

    /// The least version of ONNX's operators that a result with these dtypes needs; `half` if the model computes in f16.
    pub(super) fn needed_opset(spec: &QuantizeSpec, half: bool) -> i64 {
        let halves = spec.layers.iter().flat_map(|rule| [rule.weights, rule.activations]).flatten();
        let dtypes = halves.filter_map(|half| half.dtype.dtype()).map(|dtype| dtype.spec().onnx_opset);
        dtypes.max().unwrap_or(0).max(if half { ScaleFormat::F16.spec().onnx_opset } else { 0 })
    }
}

/// The formats of weights that the engine computes with.
pub(super) const FORMATS: [FloatFormat; 2] = [FloatFormat::F32, FloatFormat::F16];
