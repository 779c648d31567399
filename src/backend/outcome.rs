//! [`Outcome`] of a run, and the [`Prediction`] of it.

use crate::report::{Comparison, Latency, LayerReport, Sensitivity};

/// What a run made and measured.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Names of the files written, relative to the output folder.
    pub files: Vec<String>,
    /// Size of the input's files that hold weights.
    pub bytes_before: u64,
    /// The same of the output.
    pub bytes_after: u64,
    /// What was done to each layer that holds weights or could be quantized.
    pub layers: Vec<LayerReport>,
    /// The two models compared.
    pub comparison: Option<Comparison>,
    /// How long both take, where the comparison does not say or was not made in the runtime that the result is for.
    pub latency: Option<Latency>,
    /// Whether the comparison is with the result as we compute it, instead of the file as the engine runs it.
    pub simulated: bool,
    /// What single layers cost.
    pub sensitivity: Option<Sensitivity>,
    /// What running the model was predicted to take, in bytes.
    pub predicted_peak_bytes: Option<u64>,
    /// Whether ranges come from random numbers.
    pub calibration_random: bool,
    /// The input of the model whose zeros said what is padding and left out of the ranges.
    pub mask_input: Option<String>,
    /// Samples that calibration saw.
    pub samples_calibrated: Option<u64>,
    /// Observed ranges, for `calibration.json`.
    pub calibration: Option<serde_json::Value>,
    /// What was changed in the model ahead of planning.
    pub preparation: Option<serde_json::Value>,
    /// The engine's version, if it was used.
    pub engine_version: Option<String>,
}

/// What a run is expected to leave and to take, as far as it can be told. Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prediction {
    /// The size of the weights, now and then.
    pub weights: Option<(u64, u64)>,
    /// The memory that running the model takes.
    pub peak: Option<u64>,
}
