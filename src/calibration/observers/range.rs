//! [`Range`]: the smallest and the largest of all values seen.

use serde::{Deserialize, Serialize};

use crate::quant::{
    MinMax,
    kernels::{Isa, finite_min_max},
};

/// The smallest and the largest of all values seen, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The smallest finite value; null where there was none.
    pub min: Option<f32>,
    /// The largest finite value; null where there was none.
    pub max: Option<f32>,
    /// Values seen, finite or not.
    pub count: u64,
    /// Of those, the ones that were NaN or infinite; nothing else counts them.
    pub not_finite: u64,
}

impl Range {
    /// Sees values; the range of the finite ones, if there is one.
    pub fn see(&mut self, values: &[f32]) -> Option<MinMax> {
        let found = finite_min_max(Isa::best(), values);
        self.count += values.len() as u64;
        self.not_finite += found.not_finite;
        if found.min > found.max {
            return None;
        }
        self.widen(found.min, found.max);
        Some(MinMax { min: found.min, max: found.max })
    }

    fn widen(&mut self, min: f32, max: f32) {
        self.min = Some(self.min.map_or(min, |own| own.min(min)));
        self.max = Some(self.max.map_or(max, |own| own.max(max)));
    }

    /// The largest magnitude of a finite value, if there was one.
    pub fn amax(&self) -> Option<f32> {
        Some(self.max?.max(-self.min?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_counted_and_sets_no_range() {
        let mut range = Range::default();
        assert_eq!(range.see(&[f32::NAN, f32::INFINITY]), None);
        assert_eq!((range.amax(), range.count, range.not_finite), (None, 2, 2));
        assert_eq!(range.see(&[-3.0, 1.0, f32::NAN]), Some(MinMax { min: -3.0, max: 1.0 }));
        assert_eq!(range, Range { min: Some(-3.0), max: Some(1.0), count: 5, not_finite: 3 });
    }
}
