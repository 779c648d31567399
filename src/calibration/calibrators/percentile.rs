//! The magnitude that a given share of all values does not exceed.
//!
//! As onnxruntime's percentile calibration of symmetric ranges: zeros count like any other value. The threshold is the
//! upper edge of the bin in which the share is reached, so that the share fits; ModelOpt takes the lower edge, which
//! leaves a part of it outside.

use super::algorithm::{Calibrator, Target};

/// The percentile where none is given.
pub const DEFAULT_PERCENTILE: f64 = 99.99;

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator = Calibrator {
    name: "percentile",
    aliases: &[],
    summary: "the magnitude that `percentile` percent of all values do not exceed",
    histogram: true,
    choose: |statistics, Target { percentile, .. }| {
        let histogram = statistics.histogram.as_ref()?;
        let threshold = threshold(histogram.counts(), *percentile)? as f64 * histogram.width();
        Some((threshold as f32).min(statistics.amax()?))
    },
};

/// How many of the first bins hold at least `percentile` percent of the counts; `None` of nothing.
pub fn threshold(counts: &[u64], percentile: f64) -> Option<usize> {
    let total: u64 = counts.iter().sum();
    let wanted = percentile / 100.0 * total as f64;
    let mut sum = 0;
    let bin = counts.iter().position(|count| {
        sum += count;
        sum as f64 >= wanted
    });
    bin.filter(|_| total > 0).map(|bin| bin + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_fits_below_the_threshold() {
        let counts = [90, 0, 9, 0, 1];
        let at = |percentile| threshold(&counts, percentile);
        assert_eq!([at(50.0), at(90.0), at(90.1), at(99.0), at(99.1), at(100.0)], [1, 1, 3, 3, 5, 5].map(Some));
        assert_eq!(threshold(&[], 99.0), None);
        assert_eq!(threshold(&[0, 0], 99.0), None);
    }
}
