//! [`Sides`]: a histogram cut in two at 0.

use crate::quant::MinMax;

/// Counts of values on either side of 0, each from 0 outward up to the last bin that holds anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    /// Of values below 0: bin `i` counts those from `i` to `i + 1` widths below.
    pub negative: Vec<u64>,
    /// Of 0 and values above.
    pub positive: Vec<u64>,
    /// The width of a bin.
    pub width: f64,
}

impl Sides {
    /// Of the counts of all magnitudes, and how many of each bin are of values below 0.
    pub(super) fn new(all: &[u64], negative: &[u64], width: f64) -> Self {
        let below = negative.iter().copied().chain(std::iter::repeat(0));
        let mut positive: Vec<u64> = all.iter().zip(below).map(|(all, below)| all.saturating_sub(below)).collect();
        positive.truncate(positive.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1));
        Sides { negative: negative.to_vec(), positive, width }
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.negative.iter().chain(&self.positive).sum()
    }

    /// The range of the first bins of each side.
    pub fn range(&self, negative: f64, positive: f64) -> MinMax {
        MinMax { min: -(negative * self.width) as f32, max: (positive * self.width) as f32 }
    }

    /// The share of values in bins that begin at or beyond an end of a range that includes 0; the first bin, which 0 is in, does
    /// not count.
    pub(super) fn fraction_outside(&self, range: MinMax) -> f64 {
        let beyond = |counts: &[u64], end: f32| {
            let first = (f64::from(end) / self.width).ceil().max(1.0);
            counts.iter().skip(first as usize).sum::<u64>()
        };
        let outside = beyond(&self.negative, -range.min) + beyond(&self.positive, range.max);
        outside as f64 / self.total().max(1) as f64
    }
}
