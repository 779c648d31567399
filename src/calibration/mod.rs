//! Watching activations to choose their ranges.
//!
//! [`Statistics`] keep what a tensor's values were, seen in parts of any size and order; a [`Calibrator`] then chooses the
//! magnitude that the largest code stands for. What it chooses is a function of the multiset of values alone. Knows
//! nothing of graphs or engines.

mod codes;
pub mod entropy;
mod histogram;
mod min_max;
pub mod mse;
pub mod percentile;
mod record;
mod statistics;

use crate::numeric::DType;

pub use histogram::Histogram;
pub use record::{Record, RecordError, VERSION};
pub use statistics::Statistics;

/// Sees the values of a tensor on their way through a network, in parts of any size.
pub trait Observer: Send + 'static {
    /// Sees some of them.
    fn observe(&mut self, values: &[f32]);
}

/// What a range is chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The dtype of the codes.
    pub dtype: DType,
    /// The percentile, for the algorithm of that name.
    pub percentile: f64,
}

/// The percentile where none is given.
pub const DEFAULT_PERCENTILE: f64 = 99.99;

/// A calibration algorithm.
#[derive(Debug)]
pub struct Calibrator {
    /// The name that users type.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What it chooses, in a phrase.
    pub summary: &'static str,
    /// Whether it needs the histogram.
    pub histogram: bool,
    /// The magnitude that the largest code should stand for; `None` where no finite value was seen, or no histogram.
    pub choose: fn(&Statistics, &Target) -> Option<f32>,
}

/// Every algorithm; the first is the default.
pub static CALIBRATORS: [Calibrator; 4] =
    [min_max::CALIBRATOR, entropy::CALIBRATOR, mse::CALIBRATOR, percentile::CALIBRATOR];

/// The algorithm of this name or alias.
pub fn find(name: &str) -> Option<&'static Calibrator> {
    CALIBRATORS.iter().find(|row| row.name == name || row.aliases.contains(&name))
}
