//! The range of all values seen: nothing is clipped, one outlier sets the scale.
//!
//! `MinMax` of onnxruntime and, under symmetric quantization, `max` of NVIDIA ModelOpt.

use super::algorithm::Calibrator;
use crate::quant::MinMax;

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator = Calibrator {
    name: "minmax",
    aliases: &["max"],
    summary: "the largest magnitude seen; nothing is clipped",
    histogram: false,
    choose: |statistics, _| statistics.amax(),
    choose_range: |statistics, _| Some(MinMax { min: statistics.range.min?, max: statistics.range.max? }),
};
