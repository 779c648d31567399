//! Watching activations to choose their ranges.
//!
//! An [`Observer`] sees every value of one tensor, in parts of any size and order, and then names a range. What it
//! concludes is a function of the multiset of values alone. Knows nothing of graphs or engines.

mod min_max;

use serde::Serialize;

pub use min_max::MinMax;

/// What an observer concluded about a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// The smallest value seen.
    pub min: f32,
    /// The largest value seen.
    pub max: f32,
    /// The magnitude that the largest code should stand for.
    pub amax: f32,
    /// Values seen.
    pub count: u64,
    /// Of those, the ones that were NaN or infinite; they do not enter the range.
    pub not_finite: u64,
}

impl Range {
    /// The largest magnitude seen.
    pub fn amax_observed(&self) -> f32 {
        self.max.max(-self.min)
    }
}

/// Watches one tensor.
pub trait Observer: Send {
    /// Sees some values.
    fn observe(&mut self, values: &[f32]);
    /// The range of all values seen; `None` if there was none.
    fn range(&self) -> Option<Range>;
}

/// A calibration algorithm.
#[derive(Debug)]
pub struct Calibrator {
    /// The name that users type.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// A fresh observer.
    pub observer: fn() -> Box<dyn Observer>,
}

/// Every algorithm; the first is the default.
pub static CALIBRATORS: [Calibrator; 1] = [min_max::CALIBRATOR];

/// The algorithm of this name or alias.
pub fn find(name: &str) -> Option<&'static Calibrator> {
    CALIBRATORS.iter().find(|row| row.name == name || row.aliases.contains(&name))
}
