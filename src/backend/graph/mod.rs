//! What both backends do with ONNX graphs: which nodes can be quantized, writing weights.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub(super) mod forms;
pub(super) mod inventory;
pub(super) mod memory;
pub(super) mod tables;
#[cfg(test)]
mod testing;
pub(super) mod weights;
