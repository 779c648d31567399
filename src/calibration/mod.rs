//! Watching activations to choose their ranges.
//!
//! [`Statistics`] keep what a tensor's values were, seen in parts of any size and order; a [`Calibrator`] then chooses the
//! magnitude that the largest code stands for, or the two ends of the range where there is a zero point. What it chooses is a function of the multiset of values alone. Knows
//! nothing of graphs or engines.

mod calibrators;
mod observers;
mod record;

pub use calibrators::{CALIBRATORS, Calibrator, DEFAULT_PERCENTILE, Ends, Target, entropy, find, mse, percentile};
pub use observers::{Activation, Histogram, Keep, Mask, Observer, Range, Sides, Statistics};
pub use record::{Record, RecordError, VERSION};
