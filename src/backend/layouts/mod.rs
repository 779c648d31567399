//! How a quantized checkpoint is stored, so that a runtime loads it. A layout is a file here and a row of [`LAYOUTS`].

mod compressed_tensors;
mod plain;
mod torchao;

use std::{collections::BTreeMap, fmt::Debug};

use serde_json::Value;

use crate::{
    backend::stored::{EncodedWeight, WeightScheme},
    model::{
        checkpoint::TensorInfo,
        safetensors::{OutTensor, SafetensorsError},
    },
    numeric::FloatFormat,
    quant::Packing,
    spec::LayerPlan,
    tensor::Shape,
};

/// A tensor of the model with what is to become of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The tensor.
    pub(super) tensor: &'a TensorInfo,
    /// The plan for its layer.
    pub(super) plan: &'a LayerPlan,
    /// How it is quantized; `None` if it is not.
    pub(super) chosen: Option<&'a WeightScheme>,
}

/// A way to store quantized weights.
pub(super) trait Layout: Debug + Sync {
    /// The name that users type.
    fn name(&self) -> &'static str;

    /// Whether it has a place for such a weight.
    fn carries(&self, class: &str, chosen: &WeightScheme) -> bool;

    /// Whether weights of one model may have different schemes.
    fn mixes_schemes(&self) -> bool {
        true
    }

    /// The tensors that take the place of a weight.
    fn stored(&self, tensor: &TensorInfo, chosen: &WeightScheme) -> Result<EncodedWeight, SafetensorsError>;

    /// What the header of every shard says besides.
    fn metadata(&self, entries: &[Entry<'_>]) -> BTreeMap<String, String>;

    /// `quantization_config` of the model's config.json, if the layout has one.
    fn config(&self, entries: &[Entry<'_>]) -> Option<Value>;

    /// What users of the result should know: code and sentence.
    fn notes(&self, _: &[Entry<'_>]) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// Every layout, sorted by name.
pub(super) static LAYOUTS: [&dyn Layout; 3] =
    [&compressed_tensors::CompressedTensors, &plain::Plain, &torchao::TorchAo];

/// The layout of this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Layout> {
    LAYOUTS.into_iter().find(|layout| layout.name() == name)
}

/// The layout where none was asked for.
pub(super) fn default(has_config: bool) -> &'static dyn Layout {
    if has_config { &compressed_tensors::CompressedTensors } else { &plain::Plain }
}

/// The module that a weight belongs to.
fn module(tensor: &TensorInfo) -> &str {
    tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name)
}

fn out(name: String, dtype: &str, bits: usize, dims: Vec<usize>) -> Result<OutTensor, SafetensorsError> {
    match Shape::new(dims) {
        Ok(shape) => Ok(OutTensor { name, dtype: dtype.to_owned(), bits, shape }),
        Err(source) => Err(SafetensorsError::Shape { tensor: name, source }),
    }
}

fn float_name(format: FloatFormat) -> &'static str {
    match format {
        FloatFormat::F32 => "F32",
        FloatFormat::F16 => "F16",
        FloatFormat::Bf16 => "BF16",
    }
}

/// `weight_packed` of compressed-tensors: 32-bit words, rows padded.
fn words(name: String, chosen: &WeightScheme) -> Result<(OutTensor, Packing), SafetensorsError> {
    let packing = Packing::Words { bits: chosen.scheme.dtype.spec().bits };
    let tensor = out(name, "I32", 32, vec![chosen.grid.rows, packing.row_bytes(chosen.grid.columns) / 4])?;
    Ok((tensor, packing))
}

/// `weight_shape` of compressed-tensors.
fn weight_shape(name: String, shape: &Shape) -> Result<(OutTensor, Vec<u8>), SafetensorsError> {
    let dims = shape.dims().iter().flat_map(|&d| (d as i64).to_le_bytes()).collect();
    Ok((out(name, "I64", 64, vec![shape.rank()])?, dims))
}
