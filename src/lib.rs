//! ptqd.

pub mod backend;
pub mod calibration;
pub mod control;
pub mod dataset;
pub mod engine;
pub mod fault;
pub mod job;
pub mod model;
pub mod numeric;
pub mod pipeline;
pub mod quant;
pub mod report;
pub mod spec;
pub mod tensor;
#[cfg(feature = "service")]
pub mod store;
