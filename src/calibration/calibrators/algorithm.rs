//! [`Calibrator`]: what a calibration algorithm is.

use crate::{calibration::observers::Statistics, numeric::DType, quant::MinMax};

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
    /// The range that codes with a zero point should cover; `None` where no finite value was seen, or no sign kept. It may
    /// reach beyond what was seen.
    pub choose_range: fn(&Statistics, &Target) -> Option<MinMax>,
}

impl Calibrator {
    /// The range that codes with a zero point cover: within what was seen, 0 included. Where no signs were kept, the
    /// magnitude that is chosen cuts both ends; `None` as for that.
    pub fn range(&self, statistics: &Statistics, target: &Target) -> Option<MinMax> {
        let (min, max) = (statistics.range.min?, statistics.range.max?);
        let both = (self.choose_range)(statistics, target);
        let chosen = both.or_else(|| (self.choose)(statistics, target).map(MinMax::symmetric))?;
        Some(MinMax { min: chosen.min.max(min).min(0.0), max: chosen.max.min(max).max(0.0) })
    }
}
