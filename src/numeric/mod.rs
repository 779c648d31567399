//! Bit-exact element formats: what a code means as a number and which code a number gets.
//!
//! Knows nothing of tensors or files. One family of formats is one file; [`DType`] is the only list of them. The formats
//! of scales ([`ScaleFormat`]) stand apart from those that models come in ([`FloatFormat`]).

mod dtype;
mod element;
mod float;
mod fp4;
mod fp8;
mod int;
mod packing;
mod policy;
mod scale;

pub use dtype::{DType, UnknownDType};
pub use element::{DTypeSpec, Element, ElementVisitor, Groups};
pub use float::{FloatFormat, SourceFloat};
pub use fp8::{E4m3fn, E5m2};
pub use packing::Packing;
pub use policy::{NanPolicy, Rounding, Saturation};
pub(crate) use scale::power_of_two;
pub use scale::{ScaleFormat, ScaleFormatSpec};
