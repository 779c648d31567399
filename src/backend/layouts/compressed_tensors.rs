//! Layout `compressed-tensors`: what transformers and vLLM load.
//!
//! fp8 as `float-quantized`; integers as `pack-quantized`, which vLLM's weight-only kernels take, except int8 with one
//! scale per tensor, which only `int-quantized` can hold, and int8 with zero points: transformers with compressed-tensors
//! 0.20 expects those of `pack-quantized` unpacked when it loads them and packed when it uses them. For int4 with zero
//! points there is no other form, so such a model is for vLLM. Scales have the weight's own element type: loaders cast
//! them to that, so they were rounded to it before the codes were made. `format` stands in every group as well, since
//! loaders guess another from the scheme where it stands at the top alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Entry, Layout, float_name, module, out, weight_shape, words};
use crate::{
    backend::stored::{EncodedWeight, WeightScheme, ZeroPointForm, ZeroPoints},
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::DType,
    quant::{Granularity, Packing, Scheme},
};

/// The layout.
#[derive(Debug)]
pub(super) struct CompressedTensors;

const CLASS: &str = "Linear";

fn format(scheme: &Scheme) -> &'static str {
    match (scheme.dtype.is_integer(), scheme.granularity) {
        (false, _) => "float-quantized",
        (true, Granularity::PerTensor) => "int-quantized",
        (true, _) if scheme.dtype == DType::Int8 && scheme.rule.is_asymmetric() => "int-quantized",
        (true, _) => "pack-quantized",
    }
}

impl Layout for CompressedTensors {
    fn name(&self) -> &'static str {
        "compressed-tensors"
    }

    fn carries(&self, class: &str, chosen: &WeightScheme) -> bool {
        let Scheme { dtype, granularity, rule, .. } = chosen.scheme;
        let per_tensor = granularity == Granularity::PerTensor;
        // E5M2 has no name in the format; integers per tensor are neither packed nor given zero points.
        class == CLASS && dtype != DType::Fp8E5m2 && !(per_tensor && (dtype == DType::Int4 || rule.is_asymmetric()))
    }

    fn stored(&self, tensor: &TensorInfo, chosen: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |suffix: &str| format!("{}.weight{suffix}", module(tensor));
        let spec = chosen.scheme.dtype.spec();
        let (down, across) = chosen.grid.cells();
        let cells = if chosen.scheme.granularity == Granularity::PerTensor { vec![1] } else { vec![down, across] };
        let mut constants = Vec::new();
        let (codes, packing) = if format(&chosen.scheme) == "pack-quantized" {
            constants.push(weight_shape(named("_shape"), &tensor.shape)?);
            words(named("_packed"), chosen)?
        } else {
            (out(named(""), spec.safetensors, 8, tensor.shape.dims().to_vec())?, Packing::Bytes)
        };
        let zero_points = chosen.scheme.rule.is_asymmetric().then(|| {
            let name = named("_zero_point");
            if packing == Packing::Bytes {
                let tensor = out(name, "I8", 8, vec![down, across])?;
                return Ok(ZeroPoints { tensor, form: ZeroPointForm::Bytes });
            }
            let words = (down * spec.bits as usize).div_ceil(32);
            let tensor = out(name, "I32", 32, vec![words, across])?;
            Ok(ZeroPoints { tensor, form: ZeroPointForm::WordsDown { bits: spec.bits } })
        });
        let scale_format = chosen.scheme.scale_format(chosen.format);
        let scales = out(named("_scale"), float_name(scale_format), 8 * scale_format.size(), cells)?;
        Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points: zero_points.transpose()?, constants })
    }

    fn metadata(&self, _: &[Entry<'_>]) -> BTreeMap<String, String> {
        BTreeMap::from([("format".to_owned(), "pt".to_owned())])
    }

    fn config(&self, entries: &[Entry<'_>]) -> Option<Value> {
        let schemes: BTreeSet<Scheme> = entries.iter().filter_map(|entry| Some(entry.chosen?.scheme)).collect();
        let named = |wanted: Option<Scheme>| -> Vec<&str> {
            let of_class = entries.iter().filter(|entry| entry.plan.op_type == CLASS);
            of_class.filter(|e| e.chosen.map(|c| c.scheme) == wanted).map(|e| module(e.tensor)).collect()
        };
        let groups: serde_json::Map<String, Value> = schemes
            .iter()
            .enumerate()
            .map(|(number, scheme)| {
                // With one scheme the class says it all, and `ignore` lists the exceptions.
                let targets = if schemes.len() == 1 { vec![CLASS] } else { named(Some(*scheme)) };
                let group = json!({"targets": targets, "format": format(scheme), "weights": weights(scheme),
                    "input_activations": null});
                (format!("group_{number}"), group)
            })
            .collect();
        let formats: BTreeSet<&str> = schemes.iter().map(format).collect();
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

    fn notes(&self, entries: &[Entry<'_>]) -> Vec<(&'static str, &'static str)> {
        let packed_zeros =
            |chosen: &WeightScheme| chosen.scheme.dtype == DType::Int4 && chosen.scheme.rule.is_asymmetric();
        let found = entries.iter().filter_map(|entry| entry.chosen).any(packed_zeros);
        let note = "int4 with zero points is stored as vLLM reads it; transformers with compressed-tensors 0.20 cannot load \
                    its packed zero points";
        found.then_some(("packed_zero_points", note)).into_iter().collect()
    }
}

fn weights(scheme: &Scheme) -> Value {
    let spec = scheme.dtype.spec();
    let mut weights = json!({"num_bits": spec.bits, "type": if spec.float { "float" } else { "int" },
        "symmetric": !scheme.rule.is_asymmetric()});
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
    weights
}
