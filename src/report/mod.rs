//! The accuracy report: what was done to each layer, what it cost, and how the whole model fares.
//!
//! Plain data that serializes to `report.json`. A figure that does not apply is null, never invented.

mod artifact;
mod comparison;
mod gate;
mod sensitivity;

use serde::Serialize;

use crate::{
    numeric::{DType, NanPolicy, Rounding, Saturation},
    quant::{ErrorStats, Granularity, Quotient, Scheme},
    spec::{Decision, LayerPlan, Reason, Warning},
};

pub use artifact::{Artifact, media_type};
pub use comparison::{Comparison, Latency, OutputReport, Right};
pub use gate::{GateResult, QualityGate};
pub use sensitivity::{LayerSensitivity, Sensitivity, Suggestion};

/// Everything that a finished job tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The figures of the whole model.
    pub summary: Summary,
    /// Whether the result reaches what the job asked for; null if it asked for nothing.
    pub quality_gate: Option<GateResult>,
    /// The layers that hold weights or could be quantized, in the model's order.
    pub layers: Vec<LayerReport>,
    /// Each output of the model; empty where the models were not compared.
    pub outputs: Vec<OutputReport>,
    /// How long a sample takes before and after; null where it was not measured.
    pub latency: Option<Latency>,
    /// What single layers cost the outputs, and which to leave native; null where it was not measured.
    pub sensitivity: Option<Sensitivity>,
    /// The files that went in, by role, with their digests where these were asked for.
    pub inputs: serde_json::Value,
    /// What was changed in the model ahead of planning: the version of its operators, what was folded or copied; null
    /// where nothing is.
    pub preparation: Option<serde_json::Value>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// The numeric choices in force.
    pub policies: Policies,
    /// What it ran on.
    pub environment: Environment,
}

/// The figures of the whole model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Size of the model's files that hold weights, before.
    pub bytes_before: u64,
    /// The same of the result.
    pub bytes_after: u64,
    /// `bytes_before / bytes_after`.
    pub compression: f64,
    /// Layers quantized.
    pub layers_quantized: usize,
    /// Layers that hold weights and were left as they are.
    pub layers_native: usize,
    /// SQNR of all the model's outputs over the evaluation data, in dB.
    pub output_sqnr_db: Option<f64>,
    /// Cosine between the outputs before and after.
    pub output_cosine: Option<f64>,
    /// Share of samples whose largest output is the same before and after.
    pub top1_agreement: Option<f64>,
    /// Share of samples whose largest output is the label, before.
    pub accuracy_before: Option<f64>,
    /// The same after.
    pub accuracy_after: Option<f64>,
    /// `accuracy_before - accuracy_after`.
    pub accuracy_drop: Option<f64>,
    /// Share of samples whose label is among the five largest outputs, before; for more than five classes.
    pub top5_before: Option<f64>,
    /// The same after.
    pub top5_after: Option<f64>,
    /// Whether ranges come from random numbers, which was asked for in place of data.
    pub calibration_random: bool,
    /// Samples that calibration saw.
    pub samples_calibrated: Option<u64>,
    /// What gave the outputs after: `onnxruntime` ran the file; or, without evaluation data, a `simulation` of it by ptqd's
    /// own arithmetic, with a look at whether onnxruntime agrees. Null where the models were not compared.
    pub outputs_by: Option<&'static str>,
    /// Samples that the evaluation saw.
    pub samples_evaluated: Option<u64>,
    /// Wall time of each phase.
    pub seconds: std::collections::BTreeMap<String, f64>,
    /// What running the model was predicted to take, in bytes, before it was run; null where it was not.
    pub predicted_peak_bytes: Option<u64>,
    /// The largest resident set of the process so far, in bytes.
    pub peak_rss_bytes: Option<u64>,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Its name.
    pub name: String,
    /// Its operator or class.
    pub op_type: String,
    /// What was done.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// What was done to its weight.
    pub weights: Option<WeightReport>,
    /// What was done to its inputs; empty where they stay as they are.
    pub activations: Vec<ActivationReport>,
    /// SQNR of its output with everything before it quantized too, in dB; null where it was not measured, or is infinite.
    pub output_sqnr_db: Option<f64>,
}

impl LayerReport {
    /// A layer as planned, nothing measured yet.
    pub fn planned(plan: &LayerPlan) -> Self {
        LayerReport {
            name: plan.name.clone(),
            op_type: plan.op_type.clone(),
            decision: plan.decision,
            reason: plan.reason,
            weights: None,
            activations: Vec::new(),
            output_sqnr_db: None,
        }
    }
}

/// What was done to a weight, and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct WeightReport {
    /// The tensor's name in the model.
    pub tensor: String,
    /// The dtype of the codes.
    pub dtype: DType,
    /// How many elements share a scale.
    pub granularity: Granularity,
    /// How amax became the scale, e.g. `amax/127.5`.
    pub scale_rule: String,
    /// How values were divided by their scale.
    pub quotient: Quotient,
    /// Signal to quantization noise ratio in dB.
    pub sqnr_db: Option<f64>,
    /// Mean squared error.
    pub mse: Option<f64>,
    /// Cosine between the weight and what its codes decode to.
    pub cosine: Option<f64>,
    /// The largest absolute error of an element.
    pub max_abs_error: f64,
    /// Share of elements that saturated.
    pub clipped_fraction: Option<f64>,
    /// Share of elements other than 0 that became 0.
    pub underflow_fraction: Option<f64>,
    /// Size before, in bytes.
    pub bytes_before: u64,
    /// Size of codes and scales, in bytes.
    pub bytes_after: u64,
}

impl WeightReport {
    /// From a scheme and what it cost; `bytes` are the sizes before and after.
    pub fn new(tensor: &str, scheme: &Scheme, error: &ErrorStats, bytes: (u64, u64)) -> Self {
        WeightReport {
            tensor: tensor.to_owned(),
            dtype: scheme.dtype,
            granularity: scheme.granularity,
            scale_rule: scheme.rule.name(scheme.dtype),
            quotient: scheme.quotient,
            sqnr_db: error.sqnr_db(),
            mse: error.mse(),
            cosine: error.cosine(),
            max_abs_error: error.max_abs_error,
            clipped_fraction: error.fraction(error.clipped),
            underflow_fraction: error.fraction(error.underflowed),
            bytes_before: bytes.0,
            bytes_after: bytes.1,
        }
    }
}

/// What was done to an activation.
#[derive(Clone, Debug, Serialize)]
pub struct ActivationReport {
    /// The tensor's name in the graph.
    pub tensor: String,
    /// The dtype of the codes.
    pub dtype: DType,
    /// The calibration algorithm.
    pub algorithm: String,
    /// The largest magnitude that calibration saw.
    pub amax_observed: f64,
    /// The magnitude that the largest code stands for.
    pub amax_chosen: f64,
    /// How amax became the scale.
    pub scale_rule: String,
    /// Share of the observed values beyond the chosen range; 0 where the range is the observed one.
    pub clipped_fraction: Option<f64>,
    /// The tensor whose larger range it shares, because a Concat joins the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_of: Option<String>,
    /// SQNR of the tensor itself under these codes, in dB, over some samples of the evaluation.
    pub sqnr_db: Option<f64>,
    /// Share of those samples' values beyond the chosen range: far more than `clipped_fraction` means that the calibration
    /// data does not represent the evaluation data.
    pub beyond_fraction: Option<f64>,
}

/// The numeric choices in force, by name.
#[derive(Clone, Debug, Serialize)]
pub struct Policies {
    /// Between two codes.
    pub rounding: Rounding,
    /// Beyond the largest code.
    pub saturation: Saturation,
    /// NaN among weights and in data files.
    pub nan_inputs: NanPolicy,
    /// NaN inside the network.
    pub nan_activations: NanPolicy,
}

impl Default for Policies {
    fn default() -> Self {
        Policies {
            rounding: Rounding::HalfToEven,
            saturation: Saturation::LargestFinite,
            nan_inputs: NanPolicy::Refused,
            nan_activations: NanPolicy::Counted,
        }
    }
}

/// What the job ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Our version.
    pub ptqd_version: &'static str,
    /// The vector instructions that the kernels used.
    pub instruction_set: &'static str,
    /// Threads that the kernels used.
    pub threads: usize,
    /// ONNX Runtime's version, where the job needed it.
    pub onnxruntime: Option<String>,
}
