//! Layout `compressed-tensors`: what transformers and vLLM load.
//!
//! Weights alone: fp8 as `float-quantized`; integers as `pack-quantized`, which vLLM's weight-only kernels take, except int8 with one
//! scale per tensor, which only `int-quantized` can hold, and int8 with zero points: transformers with compressed-tensors
//! 0.20 expects those of `pack-quantized` unpacked when it loads them and packed when it uses them. For int4 with zero
//! points there is no other form, so such a model is for vLLM. Beside activations that the runtime rounds, [`activations`] says
//! which form it is. Scales have the weight's own element type: loaders cast
//! them to that, so they were rounded to it before the codes were made. `format` stands in every group as well, since
//! loaders guess another from the scheme where it stands at the top alone. Microscaling formats have a byte for the exponent of each
//! block's scale, and compressed-tensors decodes them to bf16, whatever the model is loaded as.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    activations::{self, Combination},
    layout::{Entry, Form, Layout},
    tensors::{bytes, module, nibbles, out, scales, weight_shape, words},
};
use crate::{
    backend::weights::{EncodedWeight, Runs, WeightScheme, ZeroPoints},
    fault::WarningCode,
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::{DType, Packing, ScaleFormat},
    quant::{Granularity, Scheme},
};

pub(super) const LAYOUT: Layout = Layout {
    name: "compressed-tensors",
    // E5M2 has no name in the format.
    dtypes: &[DType::Int8, DType::Int4, DType::Fp8E4m3fn, DType::Mxfp4, DType::Mxfp8],
    mixes_schemes: true,
    form: &CompressedTensors,
};

#[derive(Debug)]
struct CompressedTensors;

const CLASS: &str = "Linear";

/// A scheme of weights with the dtype of the activations that the runtime rounds: a group of the configuration.
type Group = (Scheme, Option<DType>);

fn group(weight: &WeightScheme) -> Group {
    (weight.scheme, weight.activations)
}

fn combination((scheme, activations): &Group) -> Option<&'static Combination> {
    activations::find(scheme, (*activations)?)
}

fn format(group: &Group) -> &'static str {
    if let Some(combination) = combination(group) {
        return combination.format;
    }
    let (scheme, _) = group;
    match (scheme.dtype.is_integer(), scheme.granularity) {
        _ if scheme.dtype == DType::Mxfp4 => "mxfp4-pack-quantized",
        _ if scheme.dtype == DType::Mxfp8 => "mxfp8-quantized",
        (false, _) => "float-quantized",
        (true, Granularity::PerTensor) => "int-quantized",
        (true, _) if scheme.dtype == DType::Int8 && scheme.rule.is_asymmetric() => "int-quantized",
        (true, _) => "pack-quantized",
    }
}

impl Form for CompressedTensors {
    fn carries(&self, class: &str, weight: &WeightScheme) -> bool {
        let Scheme { dtype, granularity, rule, .. } = weight.scheme;
        let per_tensor = granularity == Granularity::PerTensor;
        // Integers per tensor are neither packed nor given zero points.
        let bytes = dtype.spec().packing == Packing::Bytes && !rule.is_asymmetric();
        class == CLASS && (bytes || !per_tensor)
    }

    fn tensors(&self, tensor: &TensorInfo, weight: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |suffix: &str| format!("{}.weight{suffix}", module(tensor));
        let (down, across) = weight.grid.cells();
        let cells = if weight.scheme.granularity == Granularity::PerTensor { vec![1] } else { vec![down, across] };
        let mut constants = Vec::new();
        let (codes, packing) = match format(&group(weight)) {
            "pack-quantized" => {
                constants.push(weight_shape(named("_shape"), &tensor.shape)?);
                words(named("_packed"), weight)?
            }
            "mxfp4-pack-quantized" => nibbles(named("_packed"), weight)?,
            _ => bytes(named(""), &tensor.shape, weight)?,
        };
        let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
            let name = named("_zero_point");
            if packing == Packing::Bytes {
                let tensor = out(name, "I8", 8, vec![down, across])?;
                return Ok(ZeroPoints { tensor, packing, runs: Runs::All });
            }
            let tensor = out(name, "I32", 32, vec![packing.row_bytes(down) / 4, across])?;
            Ok(ZeroPoints { tensor, packing, runs: Runs::Columns })
        });
        let scale_format = weight.scheme.scale_format(weight.format);
        let scales = scales(named("_scale"), scale_format, cells)?;
        Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points: zero_points.transpose()?, constants })
    }

    fn metadata(&self, _: &[Entry<'_>]) -> BTreeMap<String, String> {
        BTreeMap::from([("format".to_owned(), "pt".to_owned())])
    }

    fn config(&self, entries: &[Entry<'_>]) -> Option<Value> {
        let found: BTreeSet<Group> = entries.iter().filter_map(|entry| Some(group(entry.weight?))).collect();
        let named = |wanted: Option<Group>| -> Vec<&str> {
            let of_class = entries.iter().filter(|entry| entry.plan.op_type == CLASS);
            of_class.filter(|e| e.weight.map(group) == wanted).map(|e| module(e.tensor)).collect()
        };
        let groups: serde_json::Map<String, Value> = found
            .iter()
            .enumerate()
            .map(|(number, group)| {
                // With one scheme the class says it all, and `ignore` lists the exceptions.
                let targets = if found.len() == 1 { vec![CLASS] } else { named(Some(*group)) };
                let described = json!({"targets": targets, "format": format(group), "weights": weights(&group.0),
                    "input_activations": combination(group).map(input_activations)});
                (format!("group_{number}"), described)
            })
            .collect();
        let formats: BTreeSet<&str> = found.iter().map(format).collect();
        let format = match formats.iter().collect::<Vec<_>>()[..] {
            [one] => one,
            _ => "mixed-precision",
        };
        let mut ignore = named(None);
        // A head that shares the embedding's weight has no tensor, but it is a Linear of the model.
        if !entries.iter().any(|entry| module(entry.tensor) == "lm_head") {
            ignore.push("lm_head");
        }
        Some(json!({"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
            "ignore": ignore, "config_groups": groups}))
    }

    fn declares(&self, _: &Combination) -> bool {
        true
    }

    fn notes(&self, entries: &[Entry<'_>]) -> Vec<(WarningCode, &'static str)> {
        let packed_zeros =
            |weight: &WeightScheme| weight.scheme.dtype == DType::Int4 && weight.scheme.rule.is_asymmetric();
        let found = entries.iter().filter_map(|entry| entry.weight).any(packed_zeros);
        let note = "int4 with zero points is stored as vLLM reads it; transformers with compressed-tensors 0.20 cannot load \
                    its packed zero points";
        found.then_some((WarningCode::PackedZeroPoints, note)).into_iter().collect()
    }
}

/// What activations are rounded to, in the words that weights have.
fn input_activations(combination: &Combination) -> Value {
    let mut activations = numbers(combination.activations, true);
    activations["dynamic"] = json!(true);
    activations["strategy"] = json!(if combination.group.is_some() { "group" } else { "token" });
    if let Some(size) = combination.group {
        activations["group_size"] = json!(size);
    }
    activations
}

fn numbers(dtype: DType, symmetric: bool) -> Value {
    let spec = dtype.spec();
    json!({"num_bits": spec.bits, "type": if spec.float { "float" } else { "int" }, "symmetric": symmetric})
}

fn weights(scheme: &Scheme) -> Value {
    let mut weights = numbers(scheme.dtype, !scheme.rule.is_asymmetric());
    match scheme.granularity {
        Granularity::PerTensor => weights["strategy"] = json!("tensor"),
        Granularity::PerChannel { .. } => weights["strategy"] = json!("channel"),
        Granularity::PerGroup { size, .. } => {
            weights["strategy"] = json!("group");
            weights["group_size"] = json!(size);
        }
        Granularity::PerBlock { rows, columns } => {
            weights["strategy"] = json!("block");
            weights["block_structure"] = json!([rows, columns]);
        }
    }
    if scheme.scale_format == Some(ScaleFormat::E8m0) {
        // Loaders tell the formats by it.
        weights["scale_dtype"] = json!("torch.uint8");
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::layouts::testing::{
        PER_BLOCK, PER_GROUP, PER_ROW, PER_TENSOR, asymmetric, described, microscaled, stored, symmetric,
    };

    #[test]
    fn integers_are_packed_into_words_where_the_format_has_them() {
        let packed = |weight| stored(&LAYOUT, &weight);
        let shape = "fc.weight_shape I64 [2]";
        assert_eq!(
            packed(symmetric(DType::Int8, PER_ROW)),
            ["fc.weight_packed I32 [4,16]", "fc.weight_scale BF16 [4,1]", shape]
        );
        assert_eq!(
            packed(symmetric(DType::Int4, PER_GROUP)),
            ["fc.weight_packed I32 [4,8]", "fc.weight_scale BF16 [4,2]", shape]
        );
        // Four zero points of a column share a word.
        assert_eq!(
            packed(asymmetric(DType::Int4, PER_GROUP)),
            ["fc.weight_packed I32 [4,8]", "fc.weight_scale BF16 [4,2]", "fc.weight_zero_point I32 [1,2]", shape]
        );
    }

    #[test]
    fn bytes_keep_the_weights_name_and_shape() {
        let bytes = |weight| stored(&LAYOUT, &weight);
        assert_eq!(bytes(symmetric(DType::Int8, PER_TENSOR)), ["fc.weight I8 [4,64]", "fc.weight_scale BF16 [1]"]);
        assert_eq!(
            bytes(asymmetric(DType::Int8, PER_ROW)),
            ["fc.weight I8 [4,64]", "fc.weight_scale BF16 [4,1]", "fc.weight_zero_point I8 [4,1]"]
        );
        let e4m3 = DType::Fp8E4m3fn;
        assert_eq!(bytes(symmetric(e4m3, PER_ROW)), ["fc.weight F8_E4M3 [4,64]", "fc.weight_scale BF16 [4,1]"]);
        assert_eq!(bytes(symmetric(e4m3, PER_BLOCK)), ["fc.weight F8_E4M3 [4,64]", "fc.weight_scale BF16 [1,1]"]);
    }

    #[test]
    fn microscaling_formats_have_a_byte_for_each_block() {
        let stored = |dtype| stored(&LAYOUT, &microscaled(dtype));
        assert_eq!(stored(DType::Mxfp4), ["fc.weight_packed U8 [4,32]", "fc.weight_scale U8 [4,2]"]);
        assert_eq!(stored(DType::Mxfp8), ["fc.weight F8_E4M3 [4,64]", "fc.weight_scale U8 [4,2]"]);
        let mxfp4 = microscaled(DType::Mxfp4);
        let config = described(&[("a", Some(mxfp4))], |entries| LAYOUT.form.config(entries)).unwrap();
        let group = json!({"targets": ["Linear"], "format": "mxfp4-pack-quantized", "input_activations": null,
            "weights": {"num_bits": 4, "type": "float", "symmetric": true, "strategy": "group", "group_size": 32,
            "scale_dtype": "torch.uint8"}});
        assert_eq!((&config["format"], &config["config_groups"]["group_0"]), (&group["format"], &group));
    }

    #[test]
    fn what_the_format_has_no_word_for_stays_native() {
        for (class, weight) in [
            ("Linear", symmetric(DType::Fp8E5m2, PER_ROW)),
            ("Linear", asymmetric(DType::Int8, PER_TENSOR)),
            ("Linear", symmetric(DType::Int4, PER_TENSOR)),
            ("Embedding", symmetric(DType::Int8, PER_ROW)),
        ] {
            assert!(!LAYOUT.carries(class, &weight), "{class} {:?}", weight.scheme);
        }
    }

    #[test]
    fn one_scheme_is_told_of_the_class_and_its_exceptions_are_ignored() {
        let int4 = symmetric(DType::Int4, PER_GROUP);
        let config = described(&[("a", Some(int4)), ("b", None)], |entries| LAYOUT.form.config(entries)).unwrap();
        assert_eq!(
            config,
            json!({"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
                "ignore": ["b", "lm_head"], "config_groups": {"group_0": {"targets": ["Linear"],
                "format": "pack-quantized", "input_activations": null, "weights": {"num_bits": 4, "type": "int",
                "symmetric": true, "strategy": "group", "group_size": 32}}}})
        );
    }

    #[test]
    fn activations_have_a_word_of_their_own_and_choose_the_form_of_codes() {
        let (int4, int8, fp8) = (DType::Int4, DType::Int8, DType::Fp8E4m3fn);
        let per_128 = Granularity::PerGroup { axis: 1, size: 128 };
        let numbers = |kind: &str| json!({"num_bits": 8, "type": kind, "symmetric": true, "dynamic": true});
        let with = |kind: &str, strategy: &str| {
            let mut activations = numbers(kind);
            activations["strategy"] = json!(strategy);
            activations
        };
        let mut grouped = with("float", "group");
        grouped["group_size"] = json!(128);
        for (weights, granularity, activations, format, expected) in [
            (fp8, PER_ROW, fp8, "float-quantized", with("float", "token")),
            (fp8, PER_BLOCK, fp8, "float-quantized", grouped),
            (int8, PER_ROW, int8, "int-quantized", with("int", "token")),
            (int4, PER_GROUP, int8, "int-quantized", with("int", "token")),
            (int4, per_128, fp8, "pack-quantized", with("float", "token")),
        ] {
            let weight = symmetric(weights, granularity).beside(Some(activations));
            let config = described(&[("a", Some(weight))], |entries| LAYOUT.form.config(entries)).unwrap();
            let group = &config["config_groups"]["group_0"];
            assert_eq!((&config["format"], &group["format"]), (&json!(format), &json!(format)));
            assert_eq!(group["input_activations"], expected, "{weights} {}", granularity.name());
        }
        let bytes = |dtype, granularity| stored(&LAYOUT, &symmetric(dtype, granularity).beside(Some(int8)));
        assert_eq!(bytes(int8, PER_ROW), ["fc.weight I8 [4,64]", "fc.weight_scale BF16 [4,1]"]);
        assert_eq!(bytes(int4, PER_GROUP), ["fc.weight I8 [4,64]", "fc.weight_scale BF16 [4,2]"]);
    }

    #[test]
    fn weights_with_activations_and_without_are_two_groups() {
        let int8 = symmetric(DType::Int8, PER_ROW);
        let linears = [("a", Some(int8.beside(Some(DType::Int8)))), ("b", Some(int8))];
        let config = described(&linears, |entries| LAYOUT.form.config(entries)).unwrap();
        let group = |number: usize, field: &str| config["config_groups"][format!("group_{number}")][field].clone();
        assert_eq!((group(0, "targets"), group(1, "targets")), (json!(["b"]), json!(["a"])));
        assert_eq!((group(0, "format"), group(1, "format")), (json!("pack-quantized"), json!("int-quantized")));
        assert_eq!((&config["format"], group(0, "input_activations")), (&json!("mixed-precision"), Value::Null));
    }

    #[test]
    fn several_schemes_are_told_of_their_modules() {
        let (int8, fp8) = (asymmetric(DType::Int8, PER_ROW), symmetric(DType::Fp8E4m3fn, PER_BLOCK));
        let linears = [("a", Some(fp8)), ("b", Some(int8)), ("lm_head", None)];
        let config = described(&linears, |entries| LAYOUT.form.config(entries)).unwrap();
        assert_eq!((&config["format"], &config["ignore"]), (&json!("mixed-precision"), &json!(["lm_head"])));
        let groups = &config["config_groups"];
        assert_eq!((&groups["group_0"]["targets"], &groups["group_1"]["targets"]), (&json!(["b"]), &json!(["a"])));
        let integer = json!({"num_bits": 8, "type": "int", "symmetric": false, "strategy": "channel"});
        assert_eq!(groups["group_0"]["weights"], integer);
        let float = json!({"num_bits": 8, "type": "float", "symmetric": true, "strategy": "block",
            "block_structure": [128, 128]});
        assert_eq!(groups["group_1"]["weights"], float);
    }

    #[test]
    fn packed_zero_points_are_noted() {
        let notes = |weight| described(&[("a", Some(weight))], |entries| LAYOUT.form.notes(entries).len());
        assert_eq!(notes(asymmetric(DType::Int4, PER_GROUP)), 1);
        assert_eq!(notes(symmetric(DType::Int4, PER_GROUP)) + notes(asymmetric(DType::Int8, PER_ROW)), 0);
    }
}
