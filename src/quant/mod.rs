//! From floats to codes and scales, and what the way back costs.
//!
//! Pure computation on slices. [`mod@reference`] is slow and obviously right; [`kernels`] is what runs, and is tested
//! against it. Knows nothing of files, layers or jobs.

mod error_stats;
pub mod kernels;
mod qparams;
pub mod reference;
mod scheme;
mod tensor;

pub use error_stats::ErrorStats;
pub use qparams::scale_for;
pub use scheme::{Granularity, Quotient, ScaleRule, Scheme};
pub use tensor::{QuantError, Quantized, quantize, quantize_rows};
