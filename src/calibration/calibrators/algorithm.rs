//! [`Calibrator`]: what a calibration algorithm is.

use crate::{calibration::observers::Statistics, numeric::DType};

/// What a range is chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The dtype of the codes.
    pub dtype: DType,
    /// In percent, for the algorithm of that name.
    pub percentile: f64,
}

/// A calibration algorithm: how an activation's range is chosen from what calibration saw.
#[derive(Debug)]
pub struct Calibrator {
    /// The name that users type.
    pub name: &'static str,
    /// Other spellings that requests may have.
    pub aliases: &'static [&'static str],
    /// What it chooses, in a phrase.
    pub summary: &'static str,
    /// Whether it needs the histogram.
    pub histogram: bool,
    /// The magnitude that the largest code should stand for; `None` where no finite value was seen, or no histogram.
    pub choose: fn(&Statistics, &Target) -> Option<f32>,
}
