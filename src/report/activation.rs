//! [`ActivationReport`]: what was done to an activation.

use serde::Serialize;

use crate::numeric::DType;

/// What was done to an activation.
#[derive(Clone, Debug, Serialize)]
pub struct ActivationReport {
    /// The tensor's name in the graph.
    pub tensor: String,
    /// The dtype of the codes.
    pub dtype: DType,
    /// The name of the calibration algorithm that chose the range.
    pub algorithm: String,
    /// The largest magnitude that calibration saw.
    pub amax_observed: f64,
    /// The magnitude that the largest code stands for.
    pub amax_chosen: f64,
    /// The range that the codes stand for, where they are not spread evenly around 0.
    #[serde(flatten)]
    pub asymmetric: Option<AsymmetricRange>,
    /// How amax, or the range, became the scale.
    pub scale_rule: String,
    /// Share of the observed values beyond the chosen range; 0 where the range is the observed one.
    pub clipped_fraction: Option<f64>,
    /// The tensor whose range it shares: a larger one, because a Concat joins the two, or that of the tensor whose codes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_of: Option<String>,
    /// SQNR of the tensor itself under these codes, in dB, over some samples of the evaluation.
    pub sqnr_db: Option<f64>,
    /// Share of those samples' values beyond the chosen range: far more than `clipped_fraction` means that the calibration
    /// data does not represent the evaluation data.
    pub beyond_fraction: Option<f64>,
}

/// The range of codes with a zero point.
#[derive(Clone, Debug, Serialize)]
pub struct AsymmetricRange {
    /// The type of the codes in the file.
    pub codes: &'static str,
    /// The code of 0.
    pub zero_point: u8,
    /// What the least code stands for, 0 at most.
    pub min_chosen: f64,
    /// What the largest code stands for, 0 at least.
    pub max_chosen: f64,
}
