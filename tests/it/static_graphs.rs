//! Static PTQ of small graphs that each hold one thing that is easily got wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ptqd::model::onnx::Model;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{data, fixture, local_job, npz, python, run_local};

struct Graphs(TempDir);

impl Graphs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        python("make_graphs.py", &[folder.path(), &fixture("convnet.onnx")]);
        Graphs(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Quantizes a graph to int8, with these options; its report, and the folder of the result.
    fn quantize(&self, name: &str, samples: &Path, options: &Value) -> (Value, PathBuf) {
        let int8 = json!({"dtype": "int8"});
        self.quantize_with(name, samples, options, json!([{"module_name": "*", "weights": int8, "activations": int8}]))
    }

    fn quantize_with(&self, name: &str, samples: &Path, options: &Value, rules: Value) -> (Value, PathBuf) {
        let rules = json!({"backend": "modelopt", "mode": "static_ptq", "layers": rules, "backend_kwargs": options});
        let mut job = local_job(&self.path(name), &rules);
        job.inputs.calibration = Some(data(samples));
        let out = self.path(&format!("{name}.{}.out", fs::read_dir(self.0.path()).unwrap().count()));
        let report = run_local(&job, &out).unwrap();
        let verdict = python("check_runs.py", &[&out.join("model.onnx"), samples]);
        assert_eq!(verdict["runs"], true, "{verdict}");
        (report, out)
    }

    fn samples(&self, dims: &[usize]) -> PathBuf {
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i * 7919 % 2003) as f32 - 1000.0) / 500.0).collect();
        let path = self.path("samples.npz");
        fs::write(&path, npz("x", dims, &values)).unwrap();
        path
    }
}

fn layer<'r>(report: &'r Value, name: &str) -> &'r Value {
    let layers = report["layers"].as_array().unwrap();
    layers.iter().find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("no layer {name} in {layers:#?}"))
}

/// What the warnings are about.
fn codes(report: &Value) -> Vec<String> {
    let warnings = report["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tensors_that_a_concat_joins_share_the_largest_range() {
    let graphs = Graphs::new();
    let samples = graphs.samples(&[8, 16, 8, 8]);
    let (report, _) = graphs.quantize("concat.onnx", &samples, &json!({}));
    let of = |name: &str| layer(&report, name)["activations"][0].clone();
    let (part, whole) = (of("conv_z"), of("conv_y"));
    assert_eq!((&part["tensor"], &part["range_of"], &whole["tensor"]), (&json!("a"), &json!("c"), &json!("c")));
    assert_eq!(part["amax_chosen"], whole["amax_chosen"]);
    assert!(part["amax_observed"].as_f64().unwrap() < 0.7 * whole["amax_observed"].as_f64().unwrap(), "{part} {whole}");
    // Elsewhere each keeps its own.
    let (report, _) = graphs.quantize("concat.onnx", &samples, &json!({"placement": "minimal"}));
    assert_eq!(layer(&report, "conv_z")["activations"][0]["range_of"], Value::Null);
}

#[test]
fn branches_are_left_as_they_are_and_listed() {
    let graphs = Graphs::new();
    let (report, out) = graphs.quantize("branch.onnx", &graphs.samples(&[16, 32]), &json!({}));
    assert_eq!(layer(&report, "fc")["decision"], "quantize");
    for name in ["yes_fc", "no_fc"] {
        assert_eq!(
            (&layer(&report, name)["decision"], &layer(&report, name)["reason"]),
            (&json!("native"), &json!("in_subgraph"))
        );
    }
    let model = Model::read(&out.join("model.onnx")).unwrap();
    assert!(model.graph().initializers().any(|tensor| tensor.name.as_deref() == Some("w1")));
}

#[test]
fn what_has_no_f16_form_stays_in_f32_between_casts() {
    let graphs = Graphs::new();
    let samples = 16;
    let x: Vec<f32> = (0..samples * 32).map(|i| ((i * 7919 % 2003) as f32 - 1000.0) / 500.0).collect();
    let path = graphs.path("two.npz");
    fs::write(graphs.path("x.npz"), npz("x", &[samples, 32], &x)).unwrap();
    python("with_count.py", &[&graphs.path("x.npz"), &path]);
    let (report, out) =
        graphs.quantize("single.onnx", &path, &json!({"high_precision_dtype": "fp16", "placement": "minimal"}));
    assert_eq!(report["preparation"]["high_precision_kept"], json!([["steps", "Range"]]));
    assert!(report["summary"]["output_sqnr_db"].as_f64().unwrap() > 30.0, "{:#}", report["summary"]);
    let model = Model::read(&out.join("model.onnx")).unwrap();
    let element = |name: &str| {
        let tensor = model.graph().initializers().find(|tensor| tensor.name.as_deref() == Some(name)).unwrap();
        tensor.data_type.unwrap()
    };
    assert_eq!((element("scales"), element("limit"), element("w.scale")), (1, 1, 10));
    assert_eq!(model.opset(), 19);
}

#[test]
fn what_tensorrt_computes_in_f32_is_told_unless_the_job_says_so() {
    let graphs = Graphs::new();
    let int8 = json!({"dtype": "int8"});
    for (number, (model, dims, options, told)) in [
        ("concat.onnx", vec![8, 16, 8, 8], json!({}), true),
        ("concat.onnx", vec![8, 16, 8, 8], json!({"high_precision_dtype": "fp32"}), false),
        ("concat.onnx", vec![8, 16, 8, 8], json!({"high_precision_dtype": "fp16"}), false),
        ("concat.onnx", vec![8, 16, 8, 8], json!({"placement": "minimal"}), false),
        ("half.onnx", vec![16, 64], json!({}), false),
    ]
    .into_iter()
    .enumerate()
    {
        let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": options,
            "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
        let mut job = local_job(&graphs.path(model), &rules);
        job.inputs.calibration = Some(data(&graphs.samples(&dims)));
        let report = run_local(&job, &graphs.path(&number.to_string())).unwrap();
        let warned = codes(&report).contains(&"float32_outside_pairs".to_owned());
        assert_eq!(warned, told, "{model} {options}");
    }
}

/// What f16 would make infinite is computed in f32, quantized or not; an earlier record tells it too.
#[test]
fn what_f16_does_not_hold_stays_in_f32() {
    let graphs = Graphs::new();
    let half = json!({"high_precision_dtype": "fp16"});
    let (report, out) = graphs.quantize("loud.onnx", &graphs.samples(&[8, 16, 8, 8]), &half);
    let kept = json!(["conv_big", "act", "pool", "conv_t", "lower"]);
    assert_eq!(report["preparation"]["beyond_half"], kept);
    assert!(["conv_big", "pool", "conv_t", "conv_y"].iter().all(|name| layer(&report, name)["decision"] == "quantize"));
    for output in report["outputs"].as_array().unwrap() {
        assert!(output["sqnr_db"].as_f64().unwrap() > 25.0, "{:#}", report["outputs"]);
    }
    assert!(codes(&report).contains(&"kept_in_float32".to_owned()), "{:#}", report["warnings"]);
    // onnxruntime computes f16 convolutions in f32 on a CPU; the reference evaluator does not.
    let (original, result) = (graphs.path("loud.onnx"), out.join("model.onnx"));
    let verdict = python("check_float16.py", &[&original, &result, &graphs.path("samples.npz")]);
    let decibels = verdict["sqnr_db"].as_array().unwrap();
    assert!(decibels.iter().all(|decibels| decibels.as_f64().is_some_and(|decibels| decibels > 25.0)), "{verdict}");
    let model = Model::read(&result).unwrap();
    let kinds = model.graph().initializers().map(|tensor| (tensor.name.clone().unwrap(), tensor.data_type.unwrap()));
    let scales: Vec<_> = kinds.filter(|(name, _)| name.ends_with(".scale")).collect();
    let f16: Vec<&str> = scales.iter().filter(|(_, kind)| *kind == 10).map(|(name, _)| name.as_str()).collect();
    assert_eq!((scales.len(), f16), (7, vec!["s.half.scale", "w3.scale"]), "{scales:?}");

    let again = |record: &Path, out: &str| {
        let int8 = json!({"dtype": "int8"});
        let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": half,
            "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
        let mut job = local_job(&graphs.path("loud.onnx"), &rules);
        job.inputs.calibration = Some(data(record));
        (run_local(&job, &graphs.path(out)).unwrap(), fs::read(graphs.path(out).join("model.onnx")).unwrap())
    };
    let record = out.join("calibration.json");
    let (report, bytes) = again(&record, "reused");
    assert_eq!(report["preparation"]["beyond_half"], kept);
    assert!(bytes == fs::read(out.join("model.onnx")).unwrap());
    let mut older: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    older.as_object_mut().unwrap().remove("float32").unwrap();
    fs::write(&record, older.to_string()).unwrap();
    let (report, _) = again(&record, "older");
    assert_eq!(report["preparation"]["beyond_half"], json!([]));
    assert!(codes(&report).contains(&"half_not_checked".to_owned()), "{:#}", report["warnings"]);
}

#[test]
fn a_constant_that_is_wanted_otherwise_gets_a_copy_or_stays() {
    let graphs = Graphs::new();
    let samples = graphs.samples(&[16, 64]);
    let half = |dtype: &str| json!({"dtype": dtype});
    let rules = json!([
        {"module_name": "type:MatMul", "weights": half("int8"), "activations": half("int8")},
        {"module_name": "second", "weights": half("fp8_e4m3fn"), "activations": half("fp8_e4m3fn")}]);
    let (report, _) = graphs.quantize_with("tied.onnx", &samples, &json!({}), rules.clone());
    assert_eq!(report["preparation"]["constants_duplicated"].as_array().unwrap().len(), 2);
    assert!(["first", "second", "head"].iter().all(|name| layer(&report, name)["decision"] == "quantize"));
    let stay = json!({"duplicate_constants": false});
    let lone = json!([{"module_name": "type:MatMul", "weights": half("int8"), "activations": half("int8")}]);
    let (report, _) = graphs.quantize_with("tied.onnx", &samples, &stay, lone);
    assert_eq!(layer(&report, "head")["reason"], "tied_to_native");
    assert_eq!(
        (&layer(&report, "first")["reason"], &layer(&report, "second")["reason"]),
        (&json!("rule"), &json!("tied"))
    );
}

/// Weights behind a Transpose are not where a layer reads them, so they stay; the others do not mind.
#[test]
fn without_folding_only_weights_in_their_place_are_quantized() {
    let graphs = Graphs::new();
    fs::copy(fixture("vit.onnx"), graphs.path("vit.onnx")).unwrap();
    let options = json!({"fold_constants": false, "fold_batch_norm": false});
    let int8 = json!({"dtype": "int8"});
    // The head is small for a placement that goes by `*` alone.
    let rules = ["*", "node_linear_13"].map(|name| json!({"module_name": name, "weights": int8, "activations": int8}));
    let (report, _) = graphs.quantize_with("vit.onnx", &fixture("calibration.npz"), &options, json!(rules));
    assert_eq!(report["preparation"]["constants_folded"], json!([]));
    let of = |decision: &str| -> Vec<&Value> {
        let layers = report["layers"].as_array().unwrap().iter();
        layers.filter(|layer| layer["op_type"] == "MatMul" && layer["decision"] == decision).collect()
    };
    assert!(of("native").iter().any(|layer| layer["reason"] == "weight_not_constant"), "{report:#}");
    assert_eq!(layer(&report, "node_linear_13")["decision"], "quantize");
    assert!(report["summary"]["output_sqnr_db"].as_f64().unwrap() > 25.0);
}

/// A layer that stays native for its range reads floats, also where its constant is another's as well.
#[test]
fn a_layer_left_native_for_its_range_keeps_its_constant() {
    let graphs = Graphs::new();
    let path = graphs.path("almost.npz");
    fs::write(&path, npz("x", &[16, 64], &vec![0.0; 16 * 64])).unwrap();
    let (report, out) = graphs.quantize("tied.onnx", &path, &json!({"placement": "minimal"}));
    // Everything that is fed zeros is native, and so every constant is a float still.
    assert!(["first", "second"].iter().all(|name| layer(&report, name)["reason"] == "amax_zero"), "{report:#}");
    let model = Model::read(&out.join("model.onnx")).unwrap();
    let kind =
        |name: &str| model.graph().initializers().find(|t| t.name.as_deref() == Some(name)).and_then(|t| t.data_type);
    assert_eq!((kind("both"), kind("table")), (Some(1), Some(1)));
}

#[test]
fn both_spellings_of_the_default_domain_are_quantized_alike() {
    let graphs = Graphs::new();
    let int8 = json!({"dtype": "int8"});
    for rules in [
        json!({"backend": "modelopt", "layers": [{"module_name": "*", "weights": int8, "activations": int8}]}),
        json!({"backend": "torchao", "layers": [{"module_name": "type:*", "weights": int8}]}),
    ] {
        let layers = |model: &Path, out: &str| {
            let mut job = local_job(model, &rules);
            job.inputs.calibration = (rules["backend"] == "modelopt").then(|| data(&fixture("calibration.npz")));
            let report = run_local(&job, &graphs.path(out)).unwrap();
            assert!(report["summary"]["layers_quantized"].as_u64().unwrap() > 0, "{}", report["summary"]);
            report["layers"].clone()
        };
        let backend = rules["backend"].as_str().unwrap();
        let short = layers(&fixture("convnet.onnx"), &format!("short-{backend}"));
        assert_eq!(layers(&graphs.path("named-domain.onnx"), &format!("named-{backend}")), short);
    }
}
