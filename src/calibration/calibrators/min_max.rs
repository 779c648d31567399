//! The range of all values seen: nothing is clipped, one outlier sets the scale.
//!
//! `max` of NVIDIA ModelOpt and, under symmetric quantization, `MinMax` of onnxruntime.

use super::algorithm::Calibrator;

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator = Calibrator {
    name: "minmax",
    aliases: &["max"],
    summary: "the largest magnitude seen; nothing is clipped",
    histogram: false,
    choose: |statistics, _| statistics.amax(),
};
