//! Static PTQ end to end over HTTP, judged by onnx.checker and onnxruntime.

use serde_json::{Value, json};

use crate::support::{Server, fixture, python, uri};

fn job(model: &str, quantize: Value) -> Value {
    json!({
        "model": {"uri": uri(&fixture(model))},
        "calibration": {"uri": uri(&fixture("calibration.npz"))},
        "evaluation": {"uri": uri(&fixture("evaluation.npz")), "labels": "y"},
        "quantize": quantize,
        "quality_gate": {"max_accuracy_drop": 0.005, "min_output_sqnr_db": 20}
    })
}

fn int8_everywhere() -> Value {
    let int8 = json!({"dtype": "int8"});
    json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax",
        "layers": [{"module_name": "*", "weights": int8, "activations": int8}]})
}

/// Quantizes a fixture; the verdict of the reference tools, and the report.
fn quantize(server: &Server, model: &str, quantize: Value) -> (Value, Value) {
    let out = server.folder.path().join(model).with_extension("out");
    let finished = server.client.run(&job(model, quantize), &out);
    assert_eq!(finished["result"]["quality_gate"]["passed"], true, "{:#}", finished["result"]);
    let verdict =
        python("check_static_ptq.py", &[&fixture(model), &out.join("model.onnx"), &fixture("evaluation.npz")]);
    let report = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    (verdict, report)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn the_convolutional_net_keeps_its_accuracy_at_a_third_of_its_size() {
    let server = Server::start();
    let (verdict, report) = quantize(&server, "convnet.onnx", int8_everywhere());
    assert!(number(&verdict["accuracy"]) >= number(&verdict["accuracy_float"]) - 0.005, "{verdict:#}");
    assert!(number(&verdict["size_ratio"]) >= 3.0, "{verdict:#}");
    assert_eq!((&verdict["quantize_nodes"], &verdict["int8_weights"]), (&json!(7), &json!(7)));
    assert_eq!((&verdict["zero_points_are_zero"], &verdict["unread_initializers"]), (&json!(true), &json!([])));

    let summary = &report["summary"];
    assert_eq!((&summary["layers_quantized"], &summary["samples_evaluated"]), (&json!(7), &json!(899)));
    assert_eq!(number(&summary["accuracy_before"]), number(&verdict["accuracy_float"]));
    assert_eq!(number(&summary["accuracy_after"]), number(&verdict["accuracy_unfused"]));
    for layer in report["layers"].as_array().unwrap() {
        assert_eq!((&layer["reason"], &layer["weights"]["scale_rule"]), (&json!("rule"), &json!("amax/127")));
        assert!(number(&layer["weights"]["sqnr_db"]) > 35.0 && number(&layer["activations"]["amax_chosen"]) > 0.0);
    }
}

#[test]
fn depthwise_convolutions_and_transformers_keep_their_accuracy() {
    let server = Server::start();
    for model in ["mobilenet.onnx", "vit.onnx"] {
        let mut rules = int8_everywhere();
        // So that onnxruntime's fused kernels are exact on every CPU, this one included.
        rules["backend_kwargs"] = json!({"reduce_range": true});
        let (verdict, report) = quantize(&server, model, rules);
        assert!(number(&verdict["accuracy"]) >= number(&verdict["accuracy_float"]) - 0.005, "{model}: {verdict:#}");
        assert_eq!(report["layers"][0]["weights"]["scale_rule"], "amax/63");
        assert_eq!(report["warnings"], json!([]), "{model}");
    }
}

#[test]
fn rules_by_layer_are_followed() {
    let server = Server::start();
    let int8 = json!({"dtype": "int8"});
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "layers": [
            {"module_name": "type:Conv", "weights": int8, "activations": int8},
            {"module_name": "Linear", "weights": int8},
            {"module_name": "block1.conv2", "weights": {"dtype": "native"}}],
        "skip_names": ["stem*"]});
    let (verdict, report) = quantize(&server, "convnet.onnx", rules);
    let decisions: Vec<(&str, bool)> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| (layer["reason"].as_str().unwrap(), layer["activations"].is_null()))
        .collect();
    assert_eq!(
        decisions,
        [
            ("skipped", true),
            ("rule", false),
            ("rule_native", true),
            ("rule", false),
            ("rule", false),
            ("rule", false),
            ("rule", true)
        ]
    );
    // The head's weights alone: no QuantizeLinear for it.
    assert_eq!((&verdict["quantize_nodes"], &verdict["int8_weights"]), (&json!(4), &json!(5)));
}

#[test]
fn a_repeated_job_gives_the_same_bytes() {
    let server = Server::start();
    let digests = |n: usize| -> Vec<Value> {
        let job = server.client.run(&job("vit.onnx", int8_everywhere()), &server.folder.path().join(n.to_string()));
        let artifacts = job["result"]["artifacts"].as_array().unwrap().clone();
        let same = |a: &&Value| ["model.onnx", "plan.json", "calibration.json"].contains(&a["name"].as_str().unwrap());
        artifacts.iter().filter(same).map(|a| a["sha256"].clone()).collect()
    };
    let first = digests(0);
    assert_eq!(first.len(), 3);
    assert_eq!(first, digests(1));
}

#[test]
fn batch_size_does_not_change_the_ranges() {
    let server = Server::start();
    let ranges = |batch: u32| -> Value {
        let mut job = job("convnet.onnx", int8_everywhere());
        job["calibration"]["batch_size"] = json!(batch);
        let folder = server.folder.path().join(format!("batch{batch}"));
        server.client.run(&job, &folder);
        let text = std::fs::read(folder.join("calibration.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["tensors"].clone()
    };
    let (one, many) = (ranges(1), ranges(64));
    for (tensor, range) in one.as_object().unwrap() {
        let (a, b) = (number(&range["amax"]), number(&many[tensor]["amax"]));
        // The runtime's own rounding differs between batch sizes; ours does not.
        assert!((a - b).abs() <= 1e-5 * b, "{tensor}: {a} {b}");
        assert_eq!(range["count"], many[tensor]["count"]);
    }
}
