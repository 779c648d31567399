//! Bit-exact element formats: what a code means as a number and which code a number gets.
//!
//! Knows nothing of scales, tensors or files. One family of formats is one file; [`DType`] is the only list of them.

mod dtype;
mod float;
mod fp8;
mod int;
mod policy;

pub use dtype::{DType, DTypeSpec, Element, ElementVisitor, UnknownDType};
pub use float::{FloatFormat, SourceFloat};
pub use fp8::{E4m3fn, E5m2};
pub use int::{Int4, Int8};
pub use policy::{NanPolicy, Rounding, Saturation};
