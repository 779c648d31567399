//! The magnitude that a given share of all values does not exceed.
//!
//! As onnxruntime's percentile calibration of symmetric ranges: zeros count like any other value. The threshold is the
//! upper edge of the bin in which the share is reached, so that the share fits; ModelOpt takes the lower edge, which
//! leaves a part of it outside.
//!
//! With a zero point, half of what may be left out is left out at either end, as in onnxruntime's of asymmetric ranges:
//! 99.99 percent lie between the 0.005th and the 99.995th percentile.

use super::algorithm::{Calibrator, Target};
use crate::calibration::observers::Sides;

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
    choose_range: |statistics, Target { percentile, .. }| {
        let sides = statistics.sides()?;
        let (negative, positive) = ends(&sides, *percentile)?;
        Some(sides.range(negative as f64, positive as f64))
    },
};

/// How many of the first bins hold at least `percentile` percent of the counts; `None` of nothing.
pub fn threshold(counts: &[u64], percentile: f64) -> Option<usize> {
    let total: u64 = counts.iter().sum();
    (total > 0).then(|| reach(counts, 0, percentile / 100.0 * total as f64)).filter(|&bins| bins > 0)
}

/// How many of the first bins below and above 0 the range covers that leaves out no more than half of what `percentile`
/// leaves out at either end; `None` of nothing.
pub fn ends(sides: &Sides, percentile: f64) -> Option<(usize, usize)> {
    let [below, above] = [&sides.negative, &sides.positive].map(|side| side.iter().sum::<u64>());
    let wanted = (below + above) as f64 * (100.0 + percentile) / 200.0;
    let ends = (reach(&sides.negative, above, wanted), reach(&sides.positive, below, wanted));
    (below + above > 0).then_some(ends)
}

/// How many of the first bins hold, with `others`, at least as many as wanted.
fn reach(counts: &[u64], others: u64, wanted: f64) -> usize {
    let mut sum = others;
    let short = |count: &&u64| {
        let short = (sum as f64) < wanted;
        sum += **count;
        short
    };
    counts.iter().take_while(short).count()
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

    #[test]
    fn half_of_what_is_left_out_is_left_out_at_either_end() {
        let sides = |negative: &[u64], positive: &[u64]| Sides {
            negative: negative.to_vec(),
            positive: positive.to_vec(),
            width: 0.5,
        };
        let both = sides(&[30, 8, 0, 2], &[50, 5, 4, 1]);
        let at = |percentile| ends(&both, percentile);
        assert_eq!(
            [at(100.0), at(98.0), at(96.0), at(95.9), at(80.0)],
            [(4, 4), (4, 3), (2, 3), (2, 3), (1, 1)].map(Some)
        );
        // What one side may leave out can be more than it has.
        assert_eq!(ends(&sides(&[2], &[98]), 95.0), Some((0, 1)));
        assert_eq!(ends(&sides(&[], &[90, 10]), 80.0), Some((0, 1)));
        assert_eq!(ends(&sides(&[], &[]), 99.0), None);
    }
}
