//! [`Sensitivity`]: what single layers cost the outputs, and what leaving some of them native would bring.

use serde::Serialize;

/// What single layers cost the outputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Samples that each layer was tried on.
    pub samples: u64,
    /// SQNR of the outputs on these samples with every layer quantized, in dB.
    pub output_sqnr_db: Option<f64>,
    /// Each layer tried, the most costly first.
    pub layers: Vec<LayerSensitivity>,
    /// Quantized layers that were not tried, because their own errors were smaller than those of all that were.
    pub untried: usize,
    /// What to change in the rules; null where no layer stands out.
    pub suggestion: Option<Suggestion>,
}

/// A layer quantized alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSensitivity {
    /// The layer's name, as rules match it.
    pub name: String,
    /// SQNR of the outputs with this layer quantized and no other, in dB; null where it changes nothing.
    pub output_sqnr_db: Option<f64>,
    /// The noise it causes over that of all layers together; what several layers share is counted for each.
    pub noise_share: f64,
}

/// A change of the rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// To be added to `skip_names`.
    pub skip_names: Vec<String>,
    /// SQNR of the outputs on the same samples with these layers native, in dB, as measured.
    pub output_sqnr_db: Option<f64>,
    /// What that is above the SQNR with every layer quantized.
    pub gain_db: Option<f64>,
    /// How many bytes the result would grow by.
    pub bytes_added: u64,
}
