//! [`Compared`]: the models that are compared.

use std::path::Path;

use crate::{model::onnx::Model, spec::LayerPlan};

/// The models to be compared.
pub(in crate::backend) struct Compared<'a> {
    /// The model as it came.
    pub(in crate::backend) original: &'a Path,
    /// The same in a form that the engine runs where it is too old for it.
    pub(in crate::backend) prepared: &'a Model,
    /// The quantized model, as it was written.
    pub(in crate::backend) quantized: &'a Path,
    /// Whether the result is for onnxruntime on this machine's CPU, so that what it fuses is of interest.
    pub(in crate::backend) for_onnxruntime: bool,
    /// The layers of the plan.
    pub(in crate::backend) layers: &'a [LayerPlan],
    /// The folder of the result, for what the engine needs for a moment.
    pub(in crate::backend) out: &'a Path,
}
