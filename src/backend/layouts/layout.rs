//! [`Layout`]: what is known of every way to store a quantized checkpoint, and what each is asked.

use std::{collections::BTreeMap, fmt::Debug};

use serde_json::Value;

use super::activations::Combination;
use crate::{
    backend::weights::{EncodedWeight, WeightScheme},
    fault::WarningCode,
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::DType,
    spec::LayerPlan,
};

/// A way to store quantized weights: a row of the table.
#[derive(Debug)]
pub(in crate::backend) struct Layout {
    /// The name that users type.
    pub(in crate::backend) name: &'static str,
    /// The dtypes that it has a place for.
    pub(super) dtypes: &'static [DType],
    /// Whether weights of one model may have different schemes.
    pub(in crate::backend) mixes_schemes: bool,
    /// How tensors are stored and described.
    pub(in crate::backend) form: &'static dyn Form,
}

impl Layout {
    /// Whether it has a place for the weight of a layer of this class.
    pub(in crate::backend) fn carries(&self, class: &str, weight: &WeightScheme) -> bool {
        self.dtypes.contains(&weight.scheme.dtype) && self.form.carries(class, weight)
    }
}

/// A tensor of the model with what is to become of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Entry<'a> {
    pub(in crate::backend) tensor: &'a TensorInfo,
    /// The plan for its layer.
    pub(in crate::backend) plan: &'a LayerPlan,
    /// How it is quantized; `None` if it is not.
    pub(in crate::backend) weight: Option<&'a WeightScheme>,
}

/// How a layout stores and describes tensors.
pub(in crate::backend) trait Form: Debug + Sync {
    /// Whether it has a place for a weight of one of the layout's dtypes in a layer of this class.
    fn carries(&self, class: &str, weight: &WeightScheme) -> bool;

    /// The tensors that take the place of a weight.
    fn tensors(&self, tensor: &TensorInfo, weight: &WeightScheme) -> Result<EncodedWeight, SafetensorsError>;

    /// What the header of every shard says besides.
    fn metadata(&self, entries: &[Entry<'_>]) -> BTreeMap<String, String>;

    /// `quantization_config` of the model's config.json, if the layout has one.
    fn config(&self, entries: &[Entry<'_>]) -> Option<Value>;

    /// Whether it can say of a layer that the runtime rounds its activations so.
    fn declares(&self, _: &Combination) -> bool {
        false
    }

    /// What users of the result should know: code and sentence.
    fn notes(&self, _: &[Entry<'_>]) -> Vec<(WarningCode, &'static str)> {
        Vec::new()
    }
}
