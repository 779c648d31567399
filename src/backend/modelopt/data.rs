//! [`Data`]: what ranges are taken from.

use std::ops::Range;

use crate::{backend::DataSource, dataset::Dataset};

/// What the ranges are taken from.
pub(super) enum Data<'a> {
    /// Some samples of a data file.
    Given { source: &'a DataSource, data: &'a Dataset, samples: Range<usize>, batch: usize },
    /// Random numbers, where the job asks for them.
    Random,
}
