//! Presets, against llm-compressor's of the same names and as users find them.

use std::{collections::BTreeMap, fs, process::Command};

use ptqd::{backend, model::safetensors::open, spec::parse};
use serde_json::{Map, Value, json};

use crate::support::{Golden, Server, fixture, local_job, run_local, write_bf16};

const MODULES: [&str; 2] = ["model.layers.0.mlp.down_proj", "model.layers.0.self_attn.k_proj"];

/// A description without what says nothing: null, an empty object, and weights that are not dynamic.
fn said(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let says = |(name, value): &(&String, &Value)| {
        !(value.is_null() || **value == json!({}) || (*name == "dynamic" && **value == json!(false)))
    };
    Value::Object(fields.iter().filter(says).map(|(name, value)| (name.clone(), said(value))).collect())
}

#[test]
fn tensors_and_configuration_are_llm_compressors() {
    let golden = Golden::open("llmcompressor_model_free.safetensors");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/llmcompressor_model_free.json");
    let configs: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let source = |module: &str| format!("src.{module}.weight");
    let names = MODULES.map(|module| format!("{module}.weight"));
    let tensors = MODULES.iter().zip(&names).map(|(module, name)| {
        let bytes = golden.bytes(&source(module));
        let values = bytes.as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b)).collect();
        (name.as_str(), golden.dims(&source(module)).to_vec(), values)
    });
    write_bf16(&model.join("model.safetensors"), &tensors.collect::<Vec<_>>());
    fs::write(model.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    for name in ["FP8_DYNAMIC", "W8A8", "W8A16", "W4A16"] {
        let out = folder.path().join(name);
        let report = run_local(&local_job(&model, &json!({"preset": name})), &out).unwrap();
        let written: BTreeMap<String, (String, Vec<usize>)> = open(&out.join("model.safetensors"))
            .unwrap()
            .tensors()
            .map(|(_, t)| (t.name.clone(), (format!("{:?}", t.dtype), t.shape.dims().to_vec())))
            .collect();
        for module in MODULES {
            for field in ["weight", "weight_packed", "weight_scale", "weight_shape"] {
                let key = format!("{module}.{field}");
                let vector = format!("{name}.{key}");
                let ours = written.get(&key).map(|(_, dims)| dims.as_slice());
                let theirs = golden.has(&vector).then(|| golden.dims(&vector));
                assert_eq!(ours, theirs, "{vector}");
            }
        }
        let dtype = |field: &str| written.get(&format!("{}.{field}", MODULES[0])).map(|(dtype, _)| dtype.as_str());
        let codes = [("FP8_DYNAMIC", Some("F8_E4M3")), ("W8A8", Some("I8"))];
        assert_eq!(dtype("weight"), codes.iter().find(|(of, _)| *of == name).and_then(|(_, dtype)| *dtype));
        assert_eq!(dtype("weight_scale"), Some("BF16"));

        let config: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
        let (ours, theirs) = (&config["quantization_config"], &configs[name]);
        for field in ["format", "quant_method", "quantization_status"] {
            assert_eq!(ours[field], theirs[field], "{name}");
        }
        assert_eq!(said(&ours["config_groups"]["group_0"]), said(&theirs["config_groups"][name]), "{name}");
        let dynamic = json!({"FP8_DYNAMIC": "fp8_e4m3fn", "W8A8": "int8"})[name].clone();
        for layer in report["layers"].as_array().unwrap() {
            let activations = layer.get("dynamic_activations").cloned().unwrap_or_default();
            assert_eq!(
                (activations, &layer["activations"]),
                (dynamic.clone(), &json!([])),
                "nothing of them is measured"
            );
        }
    }
}

#[test]
fn a_graph_has_no_place_for_activations_that_are_only_declared() {
    let folder = tempfile::tempdir().unwrap();
    let job = |preset: &str| {
        local_job(&fixture("vit.onnx"), &json!({"preset": preset, "backend_kwargs": {"granularity": "per_row"}}))
    };
    let refused = format!("{:?}", run_local(&job("w8a8"), &folder.path().join("a")).unwrap_err());
    assert!(refused.contains("UnsupportedActivations") && refused.contains("\"/preset\""), "{refused}");
    run_local(&job("w8a16"), &folder.path().join("b")).unwrap();
}

#[test]
fn the_effective_section_says_what_a_preset_stands_for() {
    let parsed = parse(&json!({"preset": "w8a8", "skip_names": ["a"]}), "/quantize");
    let (found, objections, warnings) = backend::check(&parsed.spec, false);
    assert_eq!((objections, warnings), (vec![], vec![]));
    let effective = backend::effective(&parsed.spec, found.unwrap().capabilities());
    assert_eq!(effective["backend"], "torchao");
    assert_eq!(effective["layers"][0]["activations"], json!({"dtype": "int8", "dynamic": true}));
    assert_eq!(effective["backend_kwargs"], json!({"granularity": "per_row"}));
    let again = parse(&effective, "/quantize");
    assert_eq!((again.objections, json!(again.spec)), (vec![], json!(parsed.spec)), "it may be sent again");
}

#[test]
fn the_catalogue_and_the_command_list_the_same() {
    let server = Server::start_with(|config| config.workers = 0);
    let served = server.client.json("/v1/presets")["presets"].clone();
    let printed = Command::new(env!("CARGO_BIN_EXE_ptqd")).args(["presets", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), served);
    let table = Command::new(env!("CARGO_BIN_EXE_ptqd")).arg("presets").output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.lines().count(), served.as_array().unwrap().len());
    assert!(table.starts_with("fp8_block    fp8 weights in blocks"), "{table}");
    for preset in served.as_array().unwrap() {
        let section: &Map<String, Value> = preset["quantize"].as_object().unwrap();
        assert_eq!(section["backend"], "torchao", "{preset}");
    }
}
