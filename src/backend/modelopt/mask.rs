//! Which input of a model says what is padding.

use super::opened::Opened;
use crate::{
    backend::DataSource,
    model::onnx::dimensions,
    spec::{Objection, ObjectionCode},
};

/// The name that such an input has in exports of transformers.
const USUAL: &str = "attention_mask";

impl Opened {
    /// The input that is 0 where a sequence is padded: the one that the job names, or the usual one. TensorRT's ranges have
    /// always had the padding in them, so there one must be named.
    pub(super) fn mask<'a>(&'a self, source: &'a DataSource) -> Option<&'a str> {
        let usual = || self.masks().into_iter().find(|name| *name == USUAL);
        source.mask_input.as_deref().or_else(|| usual().filter(|_| self.options.placement.is_unsigned()))
    }

    /// The objection to a mask that the model does not have.
    pub(super) fn no_mask(&self, source: &DataSource) -> Option<Objection> {
        let masks = self.masks();
        let name = source.mask_input.as_deref().filter(|name| !masks.contains(name))?;
        let message = format!("the model has no input `{name}` of [batch, sequence]");
        let objection = Objection::new("/calibration/mask_input", ObjectionCode::UnknownInput, message);
        Some(objection.near(name, masks.iter().copied()).allowed(masks))
    }

    /// The inputs of two dimensions.
    fn masks(&self) -> Vec<&str> {
        let graph = self.model.graph();
        let constant = |name: &str| graph.initializers().any(|tensor| tensor.name.as_deref() == Some(name));
        let inputs = graph.inputs().iter().filter(|input| dimensions(input).is_some_and(|dims| dims.len() == 2));
        inputs.filter_map(|input| input.name.as_deref()).filter(|name| !constant(name)).collect()
    }
}
