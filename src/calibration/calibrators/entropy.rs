//! The threshold whose quantized distribution is nearest to the observed one, by Kullback-Leibler divergence.
//!
//! For each candidate, the values below it are the reference P, with everything beyond added to its last bin; Q is the same
//! bins as the codes of the dtype see them: the bins that share a code share its count evenly, empty bins left empty. The
//! candidate of the least KL(P ‖ Q) wins, the largest of equals. (S. Migacz, 8-bit inference with TensorRT, GTC 2017;
//! NVIDIA ModelOpt's histogram calibrator.) As there, the first bin is given the count of the second: the zeros behind a
//! ReLU would outweigh all else, and 0 has a code of its own whatever the threshold.
//!
//! onnxruntime's default search has a single candidate and so is its minmax; this one tries every bin from the 128th on.
//! Sums over all bins before each are kept, so that a candidate costs one step for each code and not one for each bin.
//!
//! With a zero point a candidate is a window over the bins of both sides, cut into as many parts as there are codes, and
//! what lies beyond, less than half of all, is added to the bins at both its ends. Both ends are searched at once (`range_search`).

use std::ops::Range;

use super::{
    algorithm::{Calibrator, Target},
    codes::{Levels, steps},
    range_search::{self, Ends},
};
use crate::{calibration::observers::Sides, numeric::DType};

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator = Calibrator {
    name: "entropy",
    aliases: &["kl"],
    summary: "the threshold that loses the least information: the least Kullback-Leibler divergence",
    histogram: true,
    choose: |statistics, Target { dtype, .. }| {
        let histogram = statistics.histogram.as_ref()?;
        let threshold = threshold(histogram.counts(), *dtype)? as f64 * histogram.width();
        Some((threshold as f32).min(statistics.amax()?))
    },
    choose_range: |statistics, Target { dtype, .. }| {
        let sides = statistics.sides()?;
        let ends = range(&sides, *dtype);
        Some(sides.range(ends.negative as f64, ends.positive as f64))
    },
};

/// The fewest bins of a candidate.
const FEWEST: usize = 128;

/// How many of the first bins the codes of `dtype` should cover; `None` of nothing.
pub fn threshold(counts: &[u64], dtype: DType) -> Option<usize> {
    if counts.len() <= FEWEST {
        return Some(counts.len()).filter(|&bins| bins > 0);
    }
    let sums = Sums::new(counts.iter(), 0);
    let parts = parts(dtype);
    let candidates = (FEWEST..=counts.len()).map(|bins| (bins, sums.divergence(0..bins, &parts)));
    // Later ones win ties.
    candidates.reduce(|best, next| if next.1 <= best.1 { next } else { best }).map(|(bins, _)| bins)
}

/// How many of the first bins below and above 0 codes with a zero point should cover.
pub fn range(sides: &Sides, dtype: DType) -> Ends {
    let below = sides.negative.len();
    let sums = Sums::new(sides.negative.iter().rev().chain(&sides.positive), below);
    let number = steps(dtype) + 1;
    let parts: Vec<f64> = (0..number).map(|code| code as f64 / number as f64).collect();
    // A bin that holds nothing ends no window: what lies beyond could not be added to it.
    let filled = |counts: &mut dyn Iterator<Item = &f64>| -> Vec<usize> {
        [0].into_iter().chain(counts.enumerate().filter(|(_, n)| **n > 0.0).map(|(bin, _)| bin + 1)).collect()
    };
    let (negative, positive) = sums.counts.split_at(below);
    let (negative, positive) = (filled(&mut negative.iter().rev()), filled(&mut positive.iter()));
    range_search::search(&negative, &positive, dtype, |Ends { negative, positive }| {
        let window = below - negative..below + positive;
        // One that ends where the values begin has them all in its last bin, which is no divergence at all.
        let inside = sums.before[window.end].count - sums.before[window.start].count;
        if inside < sums.total / 2.0 { f64::INFINITY } else { sums.divergence(window, &parts) }
    })
}

/// Where the codes of a dtype begin, in rising order, as fractions of the threshold.
///
/// Steps of integers count as even parts of the range, as all implementations have it; those of floats change in the
/// middle between two codes.
fn parts(dtype: DType) -> Vec<f64> {
    let levels = Levels::of(dtype);
    if dtype.is_integer() {
        let number = levels.0.len();
        return (0..number).map(|code| code as f64 / number as f64).collect();
    }
    [0.0].into_iter().chain(levels.middles()).collect()
}

/// Sums over all bins before each.
struct Sums {
    counts: Vec<f64>,
    /// Counts with the tail, as the caller gave them.
    total: f64,
    before: Vec<Before>,
}

#[derive(Clone, Copy, Default)]
struct Before {
    count: f64,
    filled: f64,
    count_log_count: f64,
}

impl Sums {
    /// `zero` is the bin that 0 is in.
    fn new<'a>(counts: impl Iterator<Item = &'a u64>, zero: usize) -> Self {
        let mut counts: Vec<f64> = counts.map(|&count| count as f64).collect();
        let beside = counts.get(zero + 1).copied().unwrap_or(0.0);
        if let Some(zero) = counts.get_mut(zero) {
            *zero = beside;
        }
        let mut sum = Before::default();
        let mut before = vec![sum];
        for &count in &counts {
            sum.count += count;
            sum.filled += f64::from(count > 0.0);
            sum.count_log_count += times_log(count);
            before.push(sum);
        }
        Sums { counts, total: sum.count, before }
    }

    /// KL(P ‖ Q) of a window of more than one bin.
    fn divergence(&self, bins: Range<usize>, parts: &[f64]) -> f64 {
        let (from, to) = (self.before[bins.start], self.before[bins.end]);
        let (first, last) = (self.counts[bins.start], self.counts[bins.end - 1]);
        let (head, tail) = (from.count, self.total - to.count);
        let inside = to.count - from.count;
        if inside == 0.0 || (last == 0.0 && tail > 0.0) || (first == 0.0 && head > 0.0) {
            return f64::INFINITY; // P has mass where Q has none
        }
        let mut p_log_p = to.count_log_count - from.count_log_count - times_log(last) + times_log(last + tail);
        if head > 0.0 {
            p_log_p += times_log(first + head) - times_log(first);
        }
        let starts = || parts.iter().map(|part| bins.start + (part * bins.len() as f64).ceil() as usize);
        let ends = starts().skip(1).chain([bins.end]);
        let mut p_log_q = 0.0;
        for (start, end) in starts().zip(ends) {
            let (from, to) = (self.before[start], self.before[end.max(start)]);
            let (count, filled) = (to.count - from.count, to.filled - from.filled);
            if count > 0.0 {
                let head = if start == bins.start { head } else { 0.0 };
                let tail = if end == bins.end { tail } else { 0.0 };
                p_log_q += (count + head + tail) * (count / filled).ln();
            }
        }
        (p_log_p - p_log_q) / self.total - self.total.ln() + inside.ln()
    }
}

fn times_log(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the definition says it, bin by bin.
    fn divergence_by_definition(counts: &[u64], zero: usize, window: Range<usize>, parts: &[f64]) -> f64 {
        let mut counts: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        counts[zero] = counts[zero + 1];
        let mut p = counts[window.clone()].to_vec();
        let bins = p.len();
        p[0] += counts[..window.start].iter().sum::<f64>();
        p[bins - 1] += counts[window.end..].iter().sum::<f64>();
        let counts = &counts[window];
        let part_of = |bin: usize| parts.iter().rposition(|part| bin as f64 >= part * bins as f64).unwrap();
        let mut q = vec![0.0; bins];
        for bin in 0..bins {
            let alike: Vec<usize> = (0..bins).filter(|&b| part_of(b) == part_of(bin) && counts[b] > 0.0).collect();
            if counts[bin] > 0.0 {
                q[bin] = alike.iter().map(|&b| counts[b]).sum::<f64>() / alike.len() as f64;
            }
        }
        let (sum_p, sum_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
        let terms = p.iter().zip(&q).filter(|(p, _)| **p > 0.0);
        terms.map(|(p, q)| p / sum_p * (p / sum_p / (q / sum_q)).ln()).sum()
    }

    #[test]
    fn the_sums_give_what_the_definition_gives() {
        let counts: Vec<u64> =
            (0..300u64).map(|i| if i % 7 == 3 { 0 } else { 100_000 / (1 + i * i) + i % 5 }).collect();
        for dtype in DType::ALL {
            let parts = parts(dtype);
            for bins in [128, 129, 200, 255, 299, 300] {
                let fast = Sums::new(counts.iter(), 0).divergence(0..bins, &parts);
                let slow = divergence_by_definition(&counts, 0, 0..bins, &parts);
                assert!(
                    fast == slow || (fast - slow).abs() < 1e-9 * slow.abs().max(1.0),
                    "{dtype} {bins}: {fast} {slow}"
                );
            }
        }
    }

    /// Few values far out on one side, many near 0 on both.
    fn lopsided() -> Sides {
        let mut positive: Vec<u64> = (0..400u64).map(|i| 1_000_000 / (1 + i * i / 500)).collect();
        positive.resize(2048, 0);
        positive[2047] = 1;
        let negative = (0..200u64).map(|i| 1_000_000 / (1 + i * i / 300)).collect();
        Sides { negative, positive, width: 1.0 }
    }

    #[test]
    fn the_sums_of_a_window_give_what_the_definition_gives() {
        let sides = lopsided();
        let counts: Vec<u64> = sides.negative.iter().rev().chain(&sides.positive).copied().collect();
        let parts: Vec<f64> = (0..256).map(|code| f64::from(code) / 256.0).collect();
        let sums = Sums::new(counts.iter(), 200);
        for window in [0..2248, 0..600, 100..600, 77..590, 300..556] {
            let (fast, slow) = (
                sums.divergence(window.clone(), &parts),
                divergence_by_definition(&counts, 200, window.clone(), &parts),
            );
            assert!((fast - slow).abs() < 1e-9 * slow.abs().max(1.0), "{window:?}: {fast} {slow}");
        }
    }

    #[test]
    fn an_outlier_is_clipped_at_its_own_end() {
        let Ends { negative, positive } = range(&lopsided(), DType::Int8);
        assert!(positive <= 400 && negative > 100, "{negative} {positive}");
        let even = Sides { negative: vec![10; 1000], positive: vec![10; 2048], width: 1.0 };
        assert_eq!(range(&even, DType::Int8), Ends { negative: 1000, positive: 2048 });
        // So few bins are covered whole, and zeros alone are no reason for a panic.
        let few = Sides { negative: vec![3; 50], positive: vec![3; 100], width: 1.0 };
        assert_eq!(range(&few, DType::Int8), Ends { negative: 50, positive: 100 });
        let zeros = Sides { negative: vec![], positive: vec![7], width: 1.0 };
        assert_eq!(range(&zeros, DType::Int8), Ends { negative: 0, positive: 0 });
    }

    #[test]
    fn an_outlier_is_clipped_and_an_even_distribution_is_not() {
        let mut counts: Vec<u64> = (0..2048u64).map(|i| 1_000_000 / (1 + i * i / 500)).collect();
        counts.truncate(400);
        counts.resize(2048, 0);
        counts[2047] = 1;
        assert!(threshold(&counts, DType::Int8).unwrap() <= 400);
        assert_eq!(threshold(&[10; 2048], DType::Int8), Some(2048));
        assert_eq!(threshold(&[], DType::Int8), None);
        assert_eq!(threshold(&[3; 50], DType::Int8), Some(50));
    }
}
