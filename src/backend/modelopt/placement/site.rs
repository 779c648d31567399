//! [`QdqSite`]: an input that gets a Q/DQ pair.

use crate::{
    model::onnx::Use,
    numeric::{DType, FloatFormat},
};

/// An input that gets a Q/DQ pair.
#[derive(Clone, Debug)]
pub(in crate::backend::modelopt) struct QdqSite {
    /// The layer, as a position in the plan.
    pub(in crate::backend::modelopt) layer: usize,
    /// The node, and which of its inputs.
    pub(in crate::backend::modelopt) at: Use,
    /// The tensor there, by name.
    pub(in crate::backend::modelopt) tensor: String,
    /// The tensor's element format.
    pub(in crate::backend::modelopt) format: FloatFormat,
    /// The dtype of its codes.
    pub(in crate::backend::modelopt) dtype: DType,
}
