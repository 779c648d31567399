//! From floats to codes and scales, and what the way back costs.
//!
//! Pure computation on slices. [`mod@reference`] is slow and obviously right; [`kernels`] is what runs, and is tested
//! against it. Knows nothing of files, layers or jobs.

mod block;
mod error_stats;
mod grid;
pub mod kernels;
mod qparams;
pub mod reference;
mod scheme;
mod simulate;
mod tensor;

pub use block::Block;
pub use error_stats::{ErrorBits, ErrorStats};
pub use grid::{Grid, Rect};
pub use qparams::{MinMax, QParams, qparams, scale_for};
pub use scheme::{Granularity, Quotient, ScaleRule, Scheme};
pub use simulate::{one_cell, simulate};
pub use tensor::{PART_ELEMENTS, QuantError, Quantized, quantize};
