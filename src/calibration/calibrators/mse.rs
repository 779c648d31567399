//! The threshold with the least mean squared error of quantization.
//!
//! Every value is taken to lie in the middle of its bin. A candidate is the middle of a bin, and the error is what
//! rounding to the nearest code and saturating at the largest leave. (NVIDIA ModelOpt documents the same search; its
//! version 0.47 passes the arguments of the quantizer in the wrong order and so always finds the first candidate.)
//!
//! Sums of counts, first and second moments before each bin are kept, so that a candidate costs one step for each code.
//!
//! With a zero point both ends are searched at once (`range_search`), under the scale and the rounded zero point that the
//! range would get.

use super::{
    algorithm::{Calibrator, Target},
    codes::{Levels, steps},
    range_search::{self, Ends},
};
use crate::{calibration::observers::Sides, numeric::DType};

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator = Calibrator {
    name: "mse",
    aliases: &[],
    summary: "the threshold with the least mean squared error",
    histogram: true,
    choose: |statistics, Target { dtype, .. }| {
        let histogram = statistics.histogram.as_ref()?;
        let threshold = threshold(histogram.counts(), *dtype)? * histogram.width();
        Some((threshold as f32).min(statistics.amax()?))
    },
    choose_range: |statistics, Target { dtype, .. }| {
        let sides = statistics.sides()?;
        let ends = range(&sides, *dtype);
        Some(sides.range(middle(ends.negative), middle(ends.positive)))
    },
};

/// The fewest bins of a candidate.
const FEWEST: usize = 128;

/// The threshold in bins; `None` of nothing.
pub fn threshold(counts: &[u64], dtype: DType) -> Option<f64> {
    let last = counts.len().checked_sub(1)?;
    let levels = Levels::of(dtype);
    let middles = levels.middles();
    let moments = Moments::new(counts);
    let candidates =
        (FEWEST.min(last)..=last).map(|bin| (bin, moments.error_of_threshold(bin as f64 + 0.5, &levels, &middles)));
    candidates.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(bin, _)| bin as f64 + 0.5)
}

/// The bins of both sides that a range with the least error reaches into, each to the middle of its last one.
pub fn range(sides: &Sides, dtype: DType) -> Ends {
    let moments = Moments::of_both(sides);
    let whole = Ends { negative: sides.negative.len(), positive: sides.positive.len() };
    let all = |bins| (0..=bins).collect::<Vec<_>>();
    range_search::search(&all(whole.negative), &all(whole.positive), dtype, |ends| moments.error_of_range(ends, dtype))
}

/// The middle of the last of so many bins; 0 of none.
fn middle(bins: usize) -> f64 {
    (bins as f64 - 0.5).max(0.0)
}

/// Sums over all bins before each: of counts, of counts times middles, and times their squares. All in units of bins.
struct Moments {
    before: Vec<[f64; 3]>,
    /// Bins that lie below 0.
    below: f64,
}

impl Moments {
    fn new(counts: &[u64]) -> Self {
        Self::from(counts.iter(), 0.0)
    }

    /// From the least value to the largest.
    fn of_both(sides: &Sides) -> Self {
        Self::from(sides.negative.iter().rev().chain(&sides.positive), sides.negative.len() as f64)
    }

    fn from<'a>(counts: impl Iterator<Item = &'a u64>, below: f64) -> Self {
        let mut sum = [0.0; 3];
        let mut before = vec![sum];
        for (bin, &count) in counts.enumerate() {
            let (middle, count) = (bin as f64 - below + 0.5, count as f64);
            sum = [sum[0] + count, sum[1] + count * middle, sum[2] + count * middle * middle];
            before.push(sum);
        }
        Moments { before, below }
    }

    /// The summed squared error of codes under a threshold.
    fn error_of_threshold(&self, threshold: f64, levels: &Levels, middles: &[f64]) -> f64 {
        self.error(levels.0.iter().map(|level| level * threshold), middles.iter().map(|middle| middle * threshold))
    }

    /// The summed squared error of codes with a zero point, by the arithmetic that gives it.
    fn error_of_range(&self, ends: Ends, dtype: DType) -> f64 {
        let (low, high) = (middle(ends.negative), middle(ends.positive));
        let steps = steps(dtype);
        let scale = (low + high) / steps as f64;
        let zero = (low / scale).round_ties_even();
        let value = |code: f64| (code - zero) * scale;
        let codes = 0..=steps;
        self.error(codes.map(|code| value(code as f64)), (0..steps).map(|code| value(code as f64 + 0.5)))
    }

    /// The summed squared error of rounding to the nearest of `values`, in rising order; `turns` are the middles between
    /// neighbours.
    fn error(&self, values: impl Iterator<Item = f64>, turns: impl Iterator<Item = f64>) -> f64 {
        let bins = self.before.len() - 1;
        // The first bin whose middle lies above the middle between two values.
        let turns = turns.map(|turn| ((turn + self.below - 0.5).floor() + 1.0).max(0.0) as usize);
        let ends = turns.map(|end| end.min(bins)).chain([bins]);
        let mut start = 0;
        let mut error = 0.0;
        for (value, end) in values.zip(ends) {
            let end = end.max(start);
            let [count, first, second] = [0, 1, 2].map(|moment| self.before[end][moment] - self.before[start][moment]);
            error += second - 2.0 * value * first + value * value * count;
            start = end;
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_give_what_the_definition_gives() {
        let counts: Vec<u64> = (0..700u64).map(|i| 500_000 / (1 + i * i) + i % 3).collect();
        for dtype in DType::ALL {
            let levels = Levels::of(dtype);
            let moments = Moments::new(&counts);
            for bin in [128, 301, 699] {
                let threshold = f64::from(bin) + 0.5;
                let slow: f64 = counts
                    .iter()
                    .enumerate()
                    .map(|(bin, &count)| {
                        let x = bin as f64 + 0.5;
                        let distance = |level: &f64| (level * threshold - x).abs();
                        let nearest = levels.0.iter().map(distance).fold(f64::INFINITY, f64::min);
                        count as f64 * nearest * nearest
                    })
                    .sum();
                let fast = moments.error_of_threshold(threshold, &levels, &levels.middles());
                assert!((fast - slow).abs() <= 1e-9 * slow, "{dtype} {bin}: {fast} {slow}");
            }
        }
    }

    /// As the definition says it, value by value.
    fn error_by_definition(sides: &Sides, ends: Ends) -> f64 {
        let (low, high) = (-middle(ends.negative), middle(ends.positive));
        let scale = (high - low) / 255.0;
        let zero = (-low / scale).round_ties_even();
        let error = |x: f64| (((x / scale).round() + zero).clamp(0.0, 255.0) - zero) * scale - x;
        let below = sides.negative.iter().enumerate().map(|(bin, &n)| (-(bin as f64) - 0.5, n));
        let above = sides.positive.iter().enumerate().map(|(bin, &n)| (bin as f64 + 0.5, n));
        below.chain(above).map(|(x, n)| n as f64 * error(x).powi(2)).sum()
    }

    fn lopsided(negative: u64, positive: u64) -> Sides {
        let side =
            |bins: u64, slope: u64| (0..bins).map(move |i| 50_000 / (1 + i * i / slope) + u64::from(i + 1 == bins));
        Sides { negative: side(negative, 70).collect(), positive: side(positive, 900).collect(), width: 0.25 }
    }

    #[test]
    fn the_sums_of_both_sides_give_what_the_definition_gives() {
        let sides = lopsided(200, 340);
        let moments = Moments::of_both(&sides);
        for (negative, positive) in [(200, 340), (100, 300), (0, 340), (200, 100), (160, 96)] {
            let ends = Ends { negative, positive };
            let (fast, slow) = (moments.error_of_range(ends, DType::Int8), error_by_definition(&sides, ends));
            assert!((fast - slow).abs() <= 1e-9 * slow, "{ends:?}: {fast} {slow}");
        }
    }

    #[test]
    fn both_ends_cost_hardly_more_than_the_best_of_all_pairs() {
        for sides in [lopsided(130, 420), lopsided(300, 300), lopsided(0, 500)] {
            let moments = Moments::of_both(&sides);
            let (negative, positive) = (sides.negative.len(), sides.positive.len());
            let pairs = (0..=negative).flat_map(|n| (0..=positive).map(move |p| Ends { negative: n, positive: p }));
            let wide = pairs.filter(|ends| ends.negative + ends.positive >= 256);
            let best = wide.map(|ends| moments.error_of_range(ends, DType::Int8)).fold(f64::INFINITY, f64::min);
            let found = range(&sides, DType::Int8);
            let (found, whole) = (
                moments.error_of_range(found, DType::Int8),
                moments.error_of_range(Ends { negative, positive }, DType::Int8),
            );
            assert!(found <= 1.005 * best && found < 0.98 * whole, "{found} {best} {whole}");
        }
    }

    #[test]
    fn rare_outliers_are_clipped_by_integers_and_kept_by_floats() {
        let mut counts: Vec<u64> = (0..2048u64).map(|i| 1_000_000 / (1 + i * i / 500)).collect();
        counts.truncate(400);
        counts.resize(2048, 0);
        counts[2047] = 2;
        let int8 = threshold(&counts, DType::Int8).unwrap();
        assert!(int8 < 700.0, "{int8}");
        assert!(threshold(&counts, DType::Fp8E4m3fn).unwrap() > int8);
        assert_eq!(threshold(&[], DType::Int8), None);
        assert_eq!(threshold(&[5], DType::Int8), Some(0.5));
    }
}
