//! Layout `torchao`: transformers' safetensors layout of torchao's tensor subclasses.
//!
//! The header of every shard describes the tensors of the whole model, since transformers merges the headers and lets
//! the last one win.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    activations::Combination,
    layout::{Entry, Form, Layout},
    tensors::{bytes, module, out, scales},
};
use crate::{
    backend::weights::{EncodedWeight, WeightScheme},
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::{DType, FloatFormat, ScaleFormat},
    quant::Granularity,
};

pub(super) const LAYOUT: Layout =
    Layout { name: "torchao", dtypes: &[DType::Int8, DType::Fp8E4m3fn], mixes_schemes: false, form: &TorchAo };

#[derive(Debug)]
struct TorchAo;

impl Form for TorchAo {
    fn carries(&self, class: &str, weight: &WeightScheme) -> bool {
        class == "Linear"
            && !weight.scheme.rule.is_asymmetric()
            && matches!(weight.scheme.granularity, Granularity::PerTensor | Granularity::PerChannel { .. })
    }

    fn tensors(&self, tensor: &TensorInfo, weight: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |field: &str| format!("{}._weight_{field}", module(tensor));
        let (rows, _) = weight.grid.cells();
        let (codes, packing) = bytes(named("qdata"), &tensor.shape, weight)?;
        let scale_format = ScaleFormat::F32;
        let scales = scales(named("scale"), scale_format, vec![rows, 1])?;
        let mut constants = Vec::new();
        if weight.scheme.dtype.is_integer() {
            constants.push((out(named("zero_point"), "I8", 8, vec![rows, 1])?, vec![0; rows]));
        }
        Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points: None, constants })
    }

    fn declares(&self, combination: &Combination) -> bool {
        combination.weights == combination.activations && combination.group.is_none()
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
        let first = entries.iter().find_map(|entry| entry.weight)?;
        let granularity = match first.scheme.granularity {
            Granularity::PerTensor => json!({"_type": "PerTensor", "_version": 1, "_data": {}}),
            _ => json!({"_type": "PerRow", "_version": 1, "_data": {"dim": -1}}),
        };
        let (kind, data) = if first.activations.is_some() {
            dynamic(first.scheme.dtype, &granularity)
        } else if first.scheme.dtype.is_integer() {
            let data = json!({"granularity": granularity, "group_size": null, "set_inductor_config": true});
            ("Int8WeightOnlyConfig", data)
        } else {
            let data = json!({"granularity": granularity, "set_inductor_config": true,
                "weight_dtype": e4m3()});
            ("Float8WeightOnlyConfig", data)
        };
        let native = entries.iter().filter(|entry| entry.weight.is_none() && entry.plan.op_type == "Linear");
        let native: Vec<&str> = native.map(|entry| module(entry.tensor)).filter(|name| *name != "lm_head").collect();
        // Null lets transformers leave out the head by itself; a list replaces that, so it has to name it.
        let skipped = if native.is_empty() { Value::Null } else { json!([&["lm_head"], &native[..]].concat()) };
        Some(json!({"quant_method": "torchao", "modules_to_not_convert": skipped,
            "include_input_output_embeddings": false, "untie_embedding_weights": false,
            "quant_type": {"default": {"_type": kind, "_version": 2, "_data": data}}}))
    }
}

/// The name and the fields of the configuration of weights and activations of one dtype.
fn dynamic(dtype: DType, granularity: &Value) -> (&'static str, Value) {
    if dtype.is_integer() {
        let symmetric = json!({"_type": "MappingType", "_data": "SYMMETRIC"});
        let data = json!({"act_mapping_type": symmetric, "granularity": granularity, "reduce_range": false,
            "set_inductor_config": true, "weight_only_decode": false});
        return ("Int8DynamicActivationInt8WeightConfig", data);
    }
    let mut product = product();
    product["_version"] = json!(1);
    let data = json!({"activation_dtype": e4m3(), "weight_dtype": e4m3(), "granularity": [granularity, granularity],
        "packing_format": {"_type": "Float8PackingFormat", "_data": "PLAIN"}, "mm_config": product,
        "activation_value_lb": null, "activation_value_ub": null, "kernel_preference": preference(),
        "set_inductor_config": true, "alg_id": 0});
    ("Float8DynamicActivationFloat8WeightConfig", data)
}

fn e4m3() -> Value {
    json!({"_type": "torch.dtype", "_data": "float8_e4m3fn"})
}

fn preference() -> Value {
    json!({"_type": "KernelPreference", "_data": "AUTO"})
}

/// How a product of fp8 is computed.
fn product() -> Value {
    json!({"_type": "Float8MMConfig", "_data": {"emulate": false, "use_fast_accum": true, "pad_inner_dim": false}})
}

/// How a parameter says that what it is multiplied with is rounded too; null where it is not.
fn activations(weight: &WeightScheme) -> Value {
    if weight.activations.is_none() {
        return Value::Null;
    }
    let granularity = match weight.scheme.granularity {
        Granularity::PerTensor => json!({"_type": "PerTensor", "_data": {}}),
        _ => json!({"_type": "PerRow", "_data": {"dim": -1}}),
    };
    if weight.scheme.dtype.is_integer() {
        return json!({"_type": "QuantizeTensorToInt8Kwargs", "_data": {"granularity": granularity,
            "mapping_type": {"_type": "MappingType", "_data": "SYMMETRIC"}, "reduce_range": false}});
    }
    json!({"_type": "QuantizeTensorToFloat8Kwargs", "_data": {"float8_dtype": e4m3(), "granularity": granularity,
        "mm_config": null, "hp_value_lb": null, "hp_value_ub": null, "kernel_preference": preference()}})
}

/// What torchao writes of a parameter, so that it can be put together again.
fn subclass(entry: &Entry<'_>) -> Value {
    let Some(weight) = entry.weight else { return json!({"_type": "Tensor"}) };
    let rows = if weight.scheme.granularity == Granularity::PerTensor { weight.grid.rows } else { 1 };
    let block_size = [rows, weight.grid.columns];
    let dtype = match weight.format {
        FloatFormat::F32 => "float32",
        FloatFormat::F16 => "float16",
        FloatFormat::Bf16 => "bfloat16",
    };
    let dtype = json!({"_type": "torch.dtype", "_data": dtype});
    if weight.scheme.dtype.is_integer() {
        return json!({"_type": "Int8Tensor", "_data": {"act_quant_kwargs": activations(weight), "reduce_range": false,
            "block_size": block_size, "dtype": dtype}, "_tensor_data_names": ["qdata", "scale", "zero_point"]});
    }
    json!({"_type": "Float8Tensor", "_data": {"block_size": block_size,
        "mm_config": weight.activations.map(|_| product()), "act_quant_kwargs": activations(weight),
        "kernel_preference": preference(), "dtype": dtype},
        "_tensor_data_names": ["qdata", "scale"]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::layouts::testing::{PER_GROUP, PER_ROW, PER_TENSOR, asymmetric, described, stored, symmetric};

    #[test]
    fn the_fields_of_the_subclasses_have_their_own_tensors() {
        assert_eq!(
            stored(&LAYOUT, &symmetric(DType::Int8, PER_ROW)),
            ["fc._weight_qdata I8 [4,64]", "fc._weight_scale F32 [4,1]", "fc._weight_zero_point I8 [4,1]"]
        );
        assert_eq!(
            stored(&LAYOUT, &symmetric(DType::Fp8E4m3fn, PER_TENSOR)),
            ["fc._weight_qdata F8_E4M3 [4,64]", "fc._weight_scale F32 [1,1]"]
        );
    }

    #[test]
    fn what_the_subclasses_cannot_hold_stays_native() {
        for (class, weight) in [
            ("Embedding", symmetric(DType::Int8, PER_ROW)),
            ("Linear", asymmetric(DType::Int8, PER_ROW)),
            ("Linear", symmetric(DType::Int8, PER_GROUP)),
            ("Linear", symmetric(DType::Int4, PER_GROUP)),
            ("Linear", symmetric(DType::Fp8E5m2, PER_ROW)),
        ] {
            assert!(!LAYOUT.carries(class, &weight), "{class} {:?}", weight.scheme);
        }
    }

    #[test]
    fn the_config_names_the_scheme_and_what_is_left_out() {
        let fp8 = symmetric(DType::Fp8E4m3fn, PER_ROW);
        let config = |linears: &[_]| described(linears, |entries| LAYOUT.form.config(entries));
        let all = config(&[("a", Some(fp8)), ("lm_head", None)]).unwrap();
        assert_eq!(all["modules_to_not_convert"], Value::Null, "the head is left out without being named");
        assert_eq!(all["quant_type"]["default"]["_type"], json!("Float8WeightOnlyConfig"));
        let some = config(&[("a", Some(fp8)), ("b", None)]).unwrap();
        assert_eq!(some["modules_to_not_convert"], json!(["lm_head", "b"]));
        let int8 = config(&[("a", Some(symmetric(DType::Int8, PER_TENSOR)))]).unwrap();
        assert_eq!(int8["quant_type"]["default"]["_type"], json!("Int8WeightOnlyConfig"));
        assert_eq!(int8["quant_type"]["default"]["_data"]["granularity"]["_type"], json!("PerTensor"));
        assert_eq!(config(&[("a", None)]), None);
    }

    #[test]
    fn activations_that_are_rounded_too_are_told_of_the_model_and_of_each_parameter() {
        for (dtype, granularity, kind, kwargs, shared) in [
            (
                DType::Int8,
                PER_ROW,
                "Int8DynamicActivationInt8WeightConfig",
                "QuantizeTensorToInt8Kwargs",
                json!({"_type": "PerRow", "_data": {"dim": -1}}),
            ),
            (
                DType::Fp8E4m3fn,
                PER_TENSOR,
                "Float8DynamicActivationFloat8WeightConfig",
                "QuantizeTensorToFloat8Kwargs",
                json!({"_type": "PerTensor", "_data": {}}),
            ),
        ] {
            let linears = [("a", Some(symmetric(dtype, granularity).beside(Some(dtype))))];
            let config = described(&linears, |entries| LAYOUT.form.config(entries)).unwrap();
            assert_eq!(config["quant_type"]["default"]["_type"], json!(kind));
            let metadata = described(&linears, |entries| LAYOUT.form.metadata(entries));
            let subclass: Value = serde_json::from_str(&metadata["a.weight"]).unwrap();
            let activations = &subclass["_data"]["act_quant_kwargs"];
            assert_eq!((&activations["_type"], &activations["_data"]["granularity"]), (&json!(kwargs), &shared));
        }
    }

    #[test]
    fn the_header_describes_every_tensor_of_the_model() {
        let linears = [("a", Some(symmetric(DType::Int8, PER_TENSOR))), ("b", None)];
        let metadata = described(&linears, |entries| LAYOUT.form.metadata(entries));
        assert_eq!(metadata["tensor_names"], r#"["a.weight","b.weight"]"#);
        let subclass: Value = serde_json::from_str(&metadata["a.weight"]).unwrap();
        assert_eq!((&subclass["_type"], &subclass["_data"]["block_size"]), (&json!("Int8Tensor"), &json!([4, 64])));
        assert_eq!(subclass["_data"]["dtype"]["_data"], json!("bfloat16"));
        assert_eq!(metadata["b.weight"], r#"{"_type":"Tensor"}"#);
    }
}
