//! [`WeightReport`]: what was done to a weight, and what it cost.

use serde::Serialize;

use crate::{
    numeric::DType,
    quant::{ErrorStats, Granularity, Quotient, Scheme},
};

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
    /// Mean of the squared errors of the elements.
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
