//! [`Statistics`]: what is kept of all values that a tensor had.

use serde::{Deserialize, Serialize};

use super::{Histogram, Observer};
use crate::quant::kernels::{Isa, finite_min_max};

/// What is kept of all values that a tensor had: a function of their multiset alone, in fixed memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The smallest finite value; null where there was none.
    pub min: Option<f32>,
    /// The largest finite value; null where there was none.
    pub max: Option<f32>,
    /// Values seen.
    pub count: u64,
    /// Of those, the ones that were NaN or infinite; nothing else counts them.
    pub not_finite: u64,
    /// Magnitudes by bin; null where no algorithm asked for them.
    pub histogram: Option<Histogram>,
}

impl Statistics {
    /// Of nothing yet.
    pub fn new(histogram: bool) -> Self {
        Statistics { min: None, max: None, count: 0, not_finite: 0, histogram: histogram.then(Histogram::default) }
    }

    /// Adds what another saw.
    pub fn merge(&mut self, other: &Statistics) {
        self.count += other.count;
        self.not_finite += other.not_finite;
        if let (Some(min), Some(max)) = (other.min, other.max) {
            self.widen(min, max);
        }
        if let (Some(own), Some(other)) = (&mut self.histogram, &other.histogram) {
            own.merge(other);
        }
    }

    fn widen(&mut self, min: f32, max: f32) {
        self.min = Some(self.min.map_or(min, |own| own.min(min)));
        self.max = Some(self.max.map_or(max, |own| own.max(max)));
    }

    /// The largest magnitude of a finite value, if there was one.
    pub fn amax(&self) -> Option<f32> {
        Some(self.max?.max(-self.min?))
    }

    /// The share of finite values whose magnitude is above `threshold`, by whole bins; `None` without a histogram.
    pub fn fraction_beyond(&self, threshold: f32) -> Option<f64> {
        if self.amax()? <= threshold {
            return Some(0.0);
        }
        let histogram = self.histogram.as_ref()?;
        Some(histogram.beyond(threshold) as f64 / histogram.total().max(1) as f64)
    }
}

impl Observer for Statistics {
    fn observe(&mut self, values: &[f32]) {
        // What is read twice is still in a cache.
        const PART: usize = 1 << 18;
        for part in values.chunks(PART) {
            let range = finite_min_max(Isa::best(), part);
            self.count += part.len() as u64;
            self.not_finite += range.not_finite;
            if range.min > range.max {
                continue;
            }
            self.widen(range.min, range.max);
            if let Some(histogram) = &mut self.histogram {
                histogram.observe(part, range.max.max(-range.min));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_order_and_merging_do_not_matter() {
        let mut values: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 10_007) as f32 - 4_000.5).collect();
        (values[3], values[4], values[4999]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        let of = |parts: &[&[f32]]| {
            let mut statistics = Statistics::new(true);
            parts.iter().for_each(|part| statistics.observe(part));
            statistics
        };
        let whole = of(&[&values]);
        assert_eq!((whole.count, whole.not_finite), (5000, 3));
        assert_eq!(whole.histogram.as_ref().map(Histogram::total), Some(4997));
        for size in [1, 3, 17, 999] {
            let mut parts: Vec<&[f32]> = values.chunks(size).collect();
            parts.reverse();
            assert_eq!(of(&parts), whole);
            let mut merged = Statistics::new(true);
            parts.iter().for_each(|part| merged.merge(&of(&[part])));
            assert_eq!(merged, whole);
        }
        let again: Statistics = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(again, whole);
    }

    #[test]
    fn nothing_finite_is_no_range() {
        let mut statistics = Statistics::new(true);
        assert_eq!(statistics.amax(), None);
        statistics.observe(&[f32::NAN]);
        assert_eq!((statistics.amax(), statistics.not_finite, statistics.fraction_beyond(1.0)), (None, 1, None));
        statistics.observe(&[-3.0, 1.0]);
        assert_eq!((statistics.amax(), statistics.fraction_beyond(2.0)), (Some(3.0), Some(0.5)));
    }
}
