//! The threshold with the least mean squared error of quantization.
//!
//! Every value is taken to lie in the middle of its bin. A candidate is the middle of a bin, and the error is what
//! rounding to the nearest code and saturating at the largest leave. (NVIDIA ModelOpt documents the same search; its
//! version 0.47 passes the arguments of the quantizer in the wrong order and so always finds the first candidate.)
//!
//! Sums of counts, first and second moments before each bin are kept, so that a candidate costs one step for each code.

use super::{
    algorithm::{Calibrator, Target},
    codes::Levels,
};
use crate::numeric::DType;

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
};

/// The fewest bins of a candidate.
const FEWEST: usize = 128;

/// The threshold in bins; `None` of nothing.
pub fn threshold(counts: &[u64], dtype: DType) -> Option<f64> {
    let last = counts.len().checked_sub(1)?;
    let levels = Levels::of(dtype);
    let middles = levels.middles();
    let moments = Moments::new(counts);
    let candidates = (FEWEST.min(last)..=last).map(|bin| (bin, moments.error(bin as f64 + 0.5, &levels, &middles)));
    candidates.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(bin, _)| bin as f64 + 0.5)
}

/// Sums over all bins before each: of counts, of counts times middles, and times their squares.
struct Moments(Vec<[f64; 3]>);

impl Moments {
    fn new(counts: &[u64]) -> Self {
        let mut sum = [0.0; 3];
        let mut before = vec![sum];
        for (bin, &count) in counts.iter().enumerate() {
            let (middle, count) = (bin as f64 + 0.5, count as f64);
            sum = [sum[0] + count, sum[1] + count * middle, sum[2] + count * middle * middle];
            before.push(sum);
        }
        Moments(before)
    }

    /// The summed squared error under a threshold, all in units of bins.
    fn error(&self, threshold: f64, levels: &Levels, middles: &[f64]) -> f64 {
        let bins = self.0.len() - 1;
        // The first bin whose middle lies above the middle between two codes.
        let turns = middles.iter().map(|middle| ((middle * threshold - 0.5).floor() + 1.0).max(0.0) as usize);
        let ends = turns.map(|end| end.min(bins)).chain([bins]);
        let mut start = 0;
        let mut error = 0.0;
        for (level, end) in levels.0.iter().zip(ends) {
            let (value, end) = (level * threshold, end.max(start));
            let [count, first, second] = [0, 1, 2].map(|moment| self.0[end][moment] - self.0[start][moment]);
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
                let fast = moments.error(threshold, &levels, &levels.middles());
                assert!((fast - slow).abs() <= 1e-9 * slow, "{dtype} {bin}: {fast} {slow}");
            }
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
