//! [`Summary`]: the figures of the whole model.

use serde::Serialize;

/// The figures of the whole model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Size of the model's files that hold weights, before.
    pub bytes_before: u64,
    /// The same of the result.
    pub bytes_after: u64,
    /// `bytes_before / bytes_after`.
    pub compression: f64,
    /// Layers of which the weights, or the inputs too, are quantized.
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
    /// Share of samples whose largest output is the label, after.
    pub accuracy_after: Option<f64>,
    /// `accuracy_before - accuracy_after`.
    pub accuracy_drop: Option<f64>,
    /// Share of samples whose label is among the five largest outputs, before; for more than five classes.
    pub top5_before: Option<f64>,
    /// Share of samples whose label is among the five largest outputs, after.
    pub top5_after: Option<f64>,
    /// Whether ranges come from random numbers, which was asked for in place of data.
    pub calibration_random: bool,
    /// The input of the model that is 0 where a sequence is padded, which is left out of the ranges; null where none is.
    pub mask_input: Option<String>,
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
