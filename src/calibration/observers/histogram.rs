//! [`Histogram`]: magnitudes counted in bins of equal width, in fixed memory, over a range that grows.
//!
//! The width is a power of 2 and doubles when a value lies beyond the last bin; two bins then become one, exactly. So the
//! counts are a function of the multiset of values alone: in whatever parts, order and number of threads they came,
//! the histogram is the same, bit for bit.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeStruct};

use crate::quant::{
    MinMax,
    kernels::{BINS, Isa, count_magnitudes, count_signed},
};

/// Magnitudes by bin. At least half the bins lie below the largest magnitude, so between 2,048 and 4,096 describe it.
#[derive(Clone, PartialEq)]
pub struct Histogram {
    counts: Box<[u64; BINS]>,
    /// How many in each bin are of values below 0; `None` where signs are not kept.
    negative: Option<Box<[u64; BINS]>>,
    /// The range is 0 to 2^exponent; the least of all where only zeros were seen.
    exponent: i32,
}

/// Below 2 to this, a range is not told from 0; the widths of its bins would leave f32.
const LEAST_EXPONENT: i32 = -100;

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BINS]), negative: None, exponent: LEAST_EXPONENT }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram({} bins of 2^{})", self.counts().len(), self.exponent - BINS.ilog2() as i32)
    }
}

impl Histogram {
    /// One that tells values below 0 from the others.
    pub fn signed() -> Self {
        Histogram { negative: Some(Box::new([0; BINS])), ..Histogram::default() }
    }

    /// Counts values; `range` is that of the finite ones among them. Those that are not finite are left out.
    pub fn observe(&mut self, values: &[f32], range: MinMax) {
        self.grow(exponent_above(range.amax()));
        let scale = (1.0 / self.width()) as f32;
        match &mut self.negative {
            Some(negative) if range.min < 0.0 => {
                count_signed(Isa::best(), values, scale, &mut self.counts, negative);
            }
            _ => count_magnitudes(Isa::best(), values, scale, &mut self.counts),
        }
    }

    /// Doubles the range until it is 2^exponent.
    fn grow(&mut self, exponent: i32) {
        let Ok(doublings) = u32::try_from(exponent - self.exponent) else { return };
        if doublings == 0 {
            return;
        }
        for counts in [Some(&mut self.counts), self.negative.as_mut()].into_iter().flatten() {
            for bin in 1..BINS {
                let count = std::mem::take(&mut counts[bin]);
                counts[bin.checked_shr(doublings).unwrap_or(0)] += count;
            }
        }
        self.exponent = exponent;
    }

    /// The width of a bin.
    pub fn width(&self) -> f64 {
        f64::from(self.exponent - BINS.ilog2() as i32).exp2()
    }

    /// The counts up to the last bin that holds anything; bin `i` counts magnitudes from `i` to `i + 1` widths.
    pub fn counts(&self) -> &[u64] {
        used(&*self.counts)
    }

    /// The same of values below 0 alone; `None` where signs were not kept.
    pub fn negative(&self) -> Option<&[u64]> {
        self.negative.as_ref().map(|counts| used(&**counts))
    }

    /// How many magnitudes were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many of them lie in bins that begin at or above `threshold`.
    pub fn beyond(&self, threshold: f32) -> u64 {
        let first = (f64::from(threshold) / self.width()).ceil();
        if first >= BINS as f64 { 0 } else { self.counts[first.max(0.0) as usize..].iter().sum() }
    }
}

/// Counts up to the last that is not 0.
fn used(counts: &[u64]) -> &[u64] {
    let used = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
    &counts[..used]
}

/// The exponent of the least power of 2 above a magnitude.
fn exponent_above(amax: f32) -> i32 {
    let biased = (amax.to_bits() >> 23 & 0xff) as i32;
    (biased - 126).max(LEAST_EXPONENT)
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Histogram", 3)?;
        fields.serialize_field("exponent", &self.exponent)?;
        fields.serialize_field("counts", self.counts())?;
        match self.negative() {
            Some(negative) => fields.serialize_field("negative", negative)?,
            None => fields.skip_field("negative")?,
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            exponent: i32,
            counts: Vec<u64>,
            #[serde(default)]
            negative: Option<Vec<u64>>,
        }
        let Fields { exponent, counts, negative } = Fields::deserialize(deserializer)?;
        // More than any run counts, and so few that no sum of them overflows.
        const MOST: u64 = 1 << 50;
        let below = negative.as_deref().unwrap_or_default();
        let fits = (LEAST_EXPONENT..=128).contains(&exponent) && below.len() <= counts.len() && counts.len() <= BINS;
        let more_than_all = below.iter().zip(&counts).any(|(below, all)| below > all);
        if !fits || more_than_all || counts.iter().any(|&count| count > MOST) {
            return Err(D::Error::custom("not a histogram that ptqd wrote"));
        }
        let whole = |counts: Vec<u64>| {
            let mut whole = Box::new([0; BINS]);
            whole[..counts.len()].copy_from_slice(&counts);
            whole
        };
        Ok(Histogram { counts: whole(counts), negative: negative.map(whole), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(mut histogram: Histogram, parts: &[&[f32]]) -> Histogram {
        for part in parts {
            let mut range = MinMax::EMPTY;
            part.iter().for_each(|&x| range.merge(MinMax { min: x, max: x }));
            histogram.observe(part, range);
        }
        histogram
    }

    fn of(parts: &[&[f32]]) -> Histogram {
        see(Histogram::default(), parts)
    }

    #[test]
    fn growing_in_any_order_counts_as_if_the_range_had_been_known() {
        let values: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.37).sin() * (i as f32 / 200.0).exp2()).collect();
        let whole = of(&[&values]);
        let amax = values.iter().fold(0f32, |a, x| a.max(x.abs()));
        assert!(f64::from(amax) < whole.width() * 4096.0 && f64::from(amax) >= whole.width() * 2048.0);
        for (bin, &count) in whole.counts().iter().enumerate() {
            let inside = |x: &&f32| (f64::from(x.abs()) / whole.width()).floor() as usize == bin;
            assert_eq!(count, values.iter().filter(inside).count() as u64);
        }
        for size in [1, 7, 512] {
            let mut parts: Vec<&[f32]> = values.chunks(size).collect();
            assert_eq!(of(&parts), whole);
            parts.reverse();
            assert_eq!(of(&parts), whole);
        }
    }

    #[test]
    fn signs_are_told_apart_in_any_order_and_both_together_are_the_magnitudes() {
        let values: Vec<f32> = (0..3000).map(|i| ((i as f32 * 0.37).sin() - 0.4) * (i as f32 / 200.0).exp2()).collect();
        let whole = see(Histogram::signed(), &[&values]);
        assert_eq!((whole.counts(), whole.width()), (of(&[&values]).counts(), of(&[&values]).width()));
        for (bin, &count) in whole.negative().unwrap().iter().enumerate() {
            let inside = |x: &&f32| **x < 0.0 && (f64::from(-**x) / whole.width()).floor() as usize == bin;
            assert_eq!(count, values.iter().filter(inside).count() as u64);
        }
        for size in [1, 7, 512] {
            let mut parts: Vec<&[f32]> = values.chunks(size).collect();
            assert_eq!(see(Histogram::signed(), &parts), whole);
            parts.reverse();
            assert_eq!(see(Histogram::signed(), &parts), whole);
        }
        assert_eq!(see(Histogram::signed(), &[&[0.0, -0.0, 3.0]]).negative(), Some(&[] as &[u64]));
    }

    #[test]
    fn the_extremes_of_f32_are_counted() {
        let histogram = of(&[&[f32::MAX, -f32::MAX, 0.0, f32::from_bits(1)]]);
        assert_eq!((histogram.total(), histogram.counts().len(), histogram.counts()[4095]), (4, 4096, 2));
        let zeros = of(&[&[0.0, -0.0]]);
        assert_eq!((zeros.total(), zeros.counts()), (2, &[2][..]));
        assert_eq!(of(&[]).counts(), &[] as &[u64]);
    }

    #[test]
    fn what_is_beyond_a_threshold_is_counted_by_whole_bins() {
        let histogram = of(&[&[0.1, 1.0, 2.0, 3.0]]);
        assert_eq!([0.0, 1.0, 2.5, 4.0, f32::INFINITY].map(|t| histogram.beyond(t)), [4, 3, 1, 0, 0]);
    }

    #[test]
    fn it_survives_json_and_what_is_not_one_is_refused() {
        let parts: &[&[f32]] = &[&[0.1, -7.0, 2.0]];
        for histogram in [of(parts), see(Histogram::signed(), parts), see(Histogram::signed(), &[&[0.5]])] {
            let json = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }
        for bad in [
            r#"{"exponent": 500, "counts": []}"#,
            r#"{"exponent": 0, "counts": [18446744073709551615]}"#,
            r#"{"exponent": 0, "counts": [-1]}"#,
            r#"{"exponent": 0, "counts": [1], "negative": [2]}"#,
            r#"{"exponent": 0, "counts": [1], "negative": [0, 0]}"#,
        ] {
            assert!(serde_json::from_str::<Histogram>(bad).is_err(), "{bad}");
        }
    }
}
