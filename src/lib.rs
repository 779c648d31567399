//! ptqd.

pub mod numeric;
pub mod quant;
pub mod tensor;
