//! [`Statistics`]: what is kept of all values that a tensor had.

use serde::{Deserialize, Serialize};

use super::{Activation, Histogram, Observer, Range, Sides};
use crate::quant::MinMax;

/// How much is kept of a tensor, each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// The range alone.
    Range,
    /// A histogram of magnitudes.
    Magnitudes,
    /// A histogram that tells values below 0 from the others.
    Signs,
}

/// What is kept of all values that a tensor had: a function of their multiset alone, in fixed memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The range, and how many values there were.
    #[serde(flatten)]
    pub range: Range,
    /// Magnitudes by bin; null where no algorithm asked for them.
    pub histogram: Option<Histogram>,
}

impl Statistics {
    /// Statistics of a tensor before its first value.
    pub fn new(keep: Keep) -> Self {
        let histogram = match keep {
            Keep::Range => None,
            Keep::Magnitudes => Some(Histogram::default()),
            Keep::Signs => Some(Histogram::signed()),
        };
        Statistics { range: Range::default(), histogram }
    }

    /// The finite values on either side of 0; `None` without a histogram, and where both sides have values but older
    /// versions, or a job that did not ask, kept no signs.
    pub fn sides(&self) -> Option<Sides> {
        let histogram = self.histogram.as_ref()?;
        let negative = match histogram.negative() {
            None if self.range.min? >= 0.0 => &[],
            known => known?,
        };
        Some(Sides::new(histogram.counts(), negative, histogram.width()))
    }

    /// The largest magnitude of a finite value, if there was one.
    pub fn amax(&self) -> Option<f32> {
        self.range.amax()
    }

    /// The share of finite values whose magnitude is above `threshold`, by whole bins; `None` without a histogram.
    pub fn fraction_beyond(&self, threshold: f32) -> Option<f64> {
        if self.amax()? <= threshold {
            return Some(0.0);
        }
        let histogram = self.histogram.as_ref()?;
        Some(histogram.beyond(threshold) as f64 / histogram.total().max(1) as f64)
    }

    /// The share of finite values below or above a range that includes 0, by whole bins. Where signs are not known, those
    /// whose magnitude is above the larger of its ends; `None` without a histogram.
    pub fn fraction_outside(&self, range: MinMax) -> Option<f64> {
        if range.min <= self.range.min? && range.max >= self.range.max? {
            return Some(0.0);
        }
        self.sides().map_or_else(|| self.fraction_beyond(range.amax()), |sides| Some(sides.fraction_outside(range)))
    }
}

impl Observer for Statistics {
    fn observe(&mut self, seen: Activation<'_>) {
        // What is read twice is still in a cache.
        const PART: usize = 1 << 18;
        for part in seen.values.chunks(PART) {
            if let (Some(range), Some(histogram)) = (self.range.see(part), &mut self.histogram) {
                histogram.observe(part, range);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_their_order_do_not_matter() {
        let mut values: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 10_007) as f32 - 4_000.5).collect();
        (values[3], values[4], values[4999]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        let of = |parts: &[&[f32]]| {
            let mut statistics = Statistics::new(Keep::Signs);
            parts.iter().for_each(|part| statistics.observe(Activation { values: part, dims: &[part.len()] }));
            statistics
        };
        let whole = of(&[&values]);
        assert_eq!((whole.range.count, whole.range.not_finite), (5000, 3));
        assert_eq!(whole.histogram.as_ref().map(Histogram::total), Some(4997));
        for size in [1, 3, 17, 999] {
            let mut parts: Vec<&[f32]> = values.chunks(size).collect();
            parts.reverse();
            assert_eq!(of(&parts), whole);
        }
        let again: Statistics = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(again, whole);
    }

    #[test]
    fn nothing_finite_is_no_range() {
        let mut statistics = Statistics::new(Keep::Magnitudes);
        assert_eq!(statistics.amax(), None);
        statistics.observe(Activation { values: &[f32::NAN], dims: &[1] });
        assert_eq!((statistics.amax(), statistics.range.not_finite, statistics.fraction_beyond(1.0)), (None, 1, None));
        statistics.observe(Activation { values: &[-3.0, 1.0], dims: &[2] });
        assert_eq!((statistics.amax(), statistics.fraction_beyond(2.0)), (Some(3.0), Some(0.5)));
    }

    #[test]
    fn what_is_outside_of_a_range_is_counted_at_both_its_ends() {
        let values: Vec<f32> = (-4..=8).map(|i| i as f32 + 0.5).collect();
        let of = |keep, values: &[f32]| {
            let mut statistics = Statistics::new(keep);
            statistics.observe(Activation { values, dims: &[values.len()] });
            statistics
        };
        let range = MinMax { min: -2.0, max: 5.0 };
        let outside = |keep| of(keep, &values).fraction_outside(range);
        assert_eq!(outside(Keep::Signs), Some(6.0 / 13.0));
        assert_eq!(outside(Keep::Magnitudes), Some(4.0 / 13.0), "by the larger end alone");
        assert_eq!(outside(Keep::Range), None);
        assert_eq!(of(Keep::Range, &values).fraction_outside(MinMax { min: -4.0, max: 9.0 }), Some(0.0));
        // Where nothing is below 0, signs are known all the same.
        let (plain, signed) = (of(Keep::Magnitudes, &[0.0, 2.0]), of(Keep::Signs, &[0.0, 2.0]));
        assert_eq!((plain.sides(), of(Keep::Magnitudes, &[-1.0, 2.0]).sides()), (signed.sides(), None));
    }

    #[test]
    fn in_a_record_they_are_one_object_whose_fields_keep_their_names() {
        let mut statistics = Statistics::new(Keep::Magnitudes);
        statistics.observe(Activation { values: &[-3.0, 0.1, f32::NAN], dims: &[3] });
        let json = serde_json::to_string(&statistics).unwrap();
        let start = r#"{"min":-3.0,"max":0.1,"count":3,"not_finite":1,"histogram":{"exponent":2,"counts":["#;
        assert!(json.starts_with(start), "{json}");
        assert_eq!(serde_json::from_str::<Statistics>(&json).unwrap(), statistics);
    }
}
