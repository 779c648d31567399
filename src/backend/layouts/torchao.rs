//! Layout `torchao`: transformers' safetensors layout of torchao's tensor subclasses.
//!
//! The header of every shard describes the tensors of the whole model, since transformers merges the headers and lets
//! the last one win.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{EncodedWeight, Entry, Layout, WeightScheme, float_name, module, out};
use crate::{
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::{DType, FloatFormat},
    quant::{Granularity, Packing},
};

/// The layout.
#[derive(Debug)]
pub(super) struct TorchAo;

impl Layout for TorchAo {
    fn name(&self) -> &'static str {
        "torchao"
    }

    fn carries(&self, class: &str, chosen: &WeightScheme) -> bool {
        class == "Linear"
            && !chosen.scheme.rule.is_asymmetric()
            && matches!(chosen.scheme.dtype, DType::Int8 | DType::Fp8E4m3fn)
            && matches!(chosen.scheme.granularity, Granularity::PerTensor | Granularity::PerChannel { .. })
    }

    fn mixes_schemes(&self) -> bool {
        false
    }

    fn stored(&self, tensor: &TensorInfo, chosen: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |field: &str| format!("{}._weight_{field}", module(tensor));
        let spec = chosen.scheme.dtype.spec();
        let (rows, _) = chosen.grid.cells();
        let codes = out(named("qdata"), spec.safetensors, 8, tensor.shape.dims().to_vec())?;
        let scales = out(named("scale"), "F32", 32, vec![rows, 1])?;
        let constants = if spec.float {
            Vec::new()
        } else {
            vec![(out(named("zero_point"), "I8", 8, vec![rows, 1])?, vec![0; rows])]
        };
        let scale_format = FloatFormat::F32;
        Ok(EncodedWeight { codes, packing: Packing::Bytes, scales, scale_format, zero_points: None, constants })
    }

    fn metadata(&self, entries: &[Entry<'_>]) -> BTreeMap<String, String> {
        let names: Vec<&str> = entries.iter().map(|entry| entry.tensor.name.as_str()).collect();
        let mut metadata = BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            ("tensor_names".to_owned(), json!(names).to_string()),
        ]);
        metadata.extend(entries.iter().map(|entry| (entry.tensor.name.clone(), subclass(entry).to_string())));
        metadata
    }

    fn config(&self, entries: &[Entry<'_>]) -> Option<Value> {
        let first = entries.iter().find_map(|entry| entry.chosen)?;
        let granularity = match first.scheme.granularity {
            Granularity::PerTensor => json!({"_type": "PerTensor", "_version": 1, "_data": {}}),
            _ => json!({"_type": "PerRow", "_version": 1, "_data": {"dim": -1}}),
        };
        let (kind, data) = if first.scheme.dtype.is_integer() {
            let data = json!({"granularity": granularity, "group_size": null, "set_inductor_config": true});
            ("Int8WeightOnlyConfig", data)
        } else {
            let data = json!({"granularity": granularity, "set_inductor_config": true,
                "weight_dtype": {"_type": "torch.dtype", "_data": "float8_e4m3fn"}});
            ("Float8WeightOnlyConfig", data)
        };
        let native = entries.iter().filter(|entry| entry.chosen.is_none() && entry.plan.op_type == "Linear");
        let native: Vec<&str> = native.map(|entry| module(entry.tensor)).filter(|name| *name != "lm_head").collect();
        // Null lets transformers leave out the head by itself; a list replaces that, so it has to name it.
        let skipped = if native.is_empty() { Value::Null } else { json!([&["lm_head"], &native[..]].concat()) };
        Some(json!({"quant_method": "torchao", "modules_to_not_convert": skipped,
            "include_input_output_embeddings": false, "untie_embedding_weights": false,
            "quant_type": {"default": {"_type": kind, "_version": 2, "_data": data}}}))
    }
}

/// What torchao writes of a parameter, so that it can be put together again.
fn subclass(entry: &Entry<'_>) -> Value {
    let Some(chosen) = entry.chosen else { return json!({"_type": "Tensor"}) };
    let rows = if chosen.scheme.granularity == Granularity::PerTensor { chosen.grid.rows } else { 1 };
    let block_size = [rows, chosen.grid.columns];
    let dtype = match float_name(chosen.format) {
        "F32" => "float32",
        "F16" => "float16",
        _ => "bfloat16",
    };
    let dtype = json!({"_type": "torch.dtype", "_data": dtype});
    if chosen.scheme.dtype.is_integer() {
        return json!({"_type": "Int8Tensor", "_data": {"act_quant_kwargs": null, "reduce_range": false,
            "block_size": block_size, "dtype": dtype}, "_tensor_data_names": ["qdata", "scale", "zero_point"]});
    }
    json!({"_type": "Float8Tensor", "_data": {"block_size": block_size, "mm_config": null, "act_quant_kwargs": null,
        "kernel_preference": {"_type": "KernelPreference", "_data": "AUTO"}, "dtype": dtype},
        "_tensor_data_names": ["qdata", "scale"]})
}
