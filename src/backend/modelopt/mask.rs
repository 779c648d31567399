//! Which input of a model says what is padding.

use std::ops::Range;

use super::opened::Opened;
use crate::{
    backend::DataSource,
    dataset::{Dataset, DatasetError, Values},
    model::onnx::dimensions,
    numeric::FloatFormat,
    spec::{Objection, ObjectionCode},
};

/// The name that such an input has in exports of transformers.
const USUAL: &str = "attention_mask";
/// What users name to have padding seen.
const NONE: &str = "none";

impl Opened {
    /// The input that is 0 where a sequence is padded: the one that the job names, or the usual one, if it is of integers or
    /// booleans: one of floats may well be added to scores, and be 0 where a sequence is not padded. TensorRT's ranges have
    /// always had the padding in them, so there one must be named.
    pub(super) fn mask<'a>(&'a self, source: &'a DataSource) -> Option<&'a str> {
        let usual = || self.masks().into_iter().find(|name| *name == USUAL).filter(|name| !self.is_float(name));
        match source.mask_input.as_deref() {
            Some(NONE) => None,
            Some(name) => Some(name),
            None => usual().filter(|_| self.options.placement.is_unsigned()),
        }
    }

    /// The objection to a mask that the model does not have.
    pub(super) fn no_mask(&self, source: &DataSource) -> Option<Objection> {
        let masks = self.masks();
        let name = source.mask_input.as_deref().filter(|name| *name != NONE && !masks.contains(name))?;
        let message = format!("the model has no input `{name}` of [batch, sequence]");
        let objection = Objection::new("/calibration/mask_input", ObjectionCode::UnknownInput, message);
        Some(objection.near(name, masks.iter().copied()).allowed(masks))
    }

    fn is_float(&self, input: &str) -> bool {
        let element = self.model.graph().declared_types().get(input).copied();
        element.is_none_or(|element| FloatFormat::from_onnx(element).is_some())
    }

    /// The inputs of two dimensions.
    fn masks(&self) -> Vec<&str> {
        let graph = self.model.graph();
        let constant = |name: &str| graph.initializers().any(|tensor| tensor.name.as_deref() == Some(name));
        let inputs = graph.inputs().iter().filter(|input| dimensions(input).is_some_and(|dims| dims.len() == 2));
        inputs.filter_map(|input| input.name.as_deref()).filter(|name| !constant(name)).collect()
    }
}

/// Refuses a mask that a job names and that is other than 1 for what is to be seen and 0 for padding.
pub(super) fn check(data: &Dataset, mask: &str, samples: Range<usize>) -> Result<(), DatasetError> {
    let Some(array) = data.arrays().get(mask) else { return Ok(()) };
    let tells = match array.read(mask, samples)? {
        Values::Float(values) => values.iter().all(|value| *value == 0.0 || *value == 1.0),
        Values::Int(values) => values.iter().all(|value| *value == 0 || *value == 1),
    };
    if tells { Ok(()) } else { Err(DatasetError::Mask { array: mask.to_owned() }) }
}
