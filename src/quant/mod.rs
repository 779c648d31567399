//! From floats to codes and scales, and what the way back costs.
//!
//! Pure computation on slices. [`mod@reference`] is slow and obviously right; [`kernels`] is what runs, and is tested
//! against it. Knows nothing of files, layers or jobs.

mod block;
mod error;
mod error_stats;
mod grid;
pub mod kernels;
mod qparams;
pub mod reference;
mod scheme;
mod simulate;

pub use block::Block;
pub use error::QuantError;
pub use error_stats::{ErrorBits, ErrorStats};
pub use grid::{Grid, PART_ELEMENTS, Rect};
pub use qparams::{MinMax, QParams, qparams, scale_for};
pub use scheme::{Granularity, Quotient, ScaleRule, Scheme};
pub use simulate::{cell_ranges, one_cell, simulate};
