//! Static PTQ end to end over HTTP, judged by onnx.checker and onnxruntime.

use serde_json::{Value, json};

use crate::support::{Server, fixture, python, uri};

fn job(model: &str, quantize: Value) -> Value {
    json!({
        "model": {"uri": uri(&fixture(model))},
        "calibration": {"uri": uri(&fixture("calibration.npz"))},
        "evaluation": {"uri": uri(&fixture("evaluation.npz")), "labels": "y"},
        "quantize": quantize,
        "quality_gate": {"max_accuracy_drop": 0.02, "min_output_sqnr_db": 12}
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
    assert_eq!((&verdict["quantize_nodes"], &verdict["int8_weights"]), (&json!(6), &json!(6)));
    assert_eq!((&verdict["zero_points_are_zero"], &verdict["unread_initializers"]), (&json!(true), &json!([])));

    let summary = &report["summary"];
    assert_eq!((&summary["layers_quantized"], &summary["samples_evaluated"]), (&json!(8), &json!(899)));
    assert_eq!(number(&summary["accuracy_before"]), number(&verdict["accuracy_float"]));
    assert_eq!(number(&summary["accuracy_after"]), number(&verdict["accuracy_unfused"]));
    let (adds, layers): (Vec<&Value>, Vec<&Value>) =
        report["layers"].as_array().unwrap().iter().partition(|layer| layer["op_type"] == "Add");
    assert_eq!(report["preparation"]["batch_norms_folded"].as_array().unwrap().len(), 6);
    // The shortcut of each residual block arrives in int8, and shares its pair with the block's first convolution.
    assert_eq!(adds.len(), 2);
    assert!(adds.iter().all(|add| add["weights"].is_null() && add["activations"].as_array().unwrap().len() == 1));
    let (heads, layers): (Vec<&Value>, Vec<&Value>) = layers.into_iter().partition(|layer| layer["op_type"] == "Gemm");
    assert!(heads.len() == 1 && heads[0]["reason"] == "matrix_too_small", "{heads:?}");
    for layer in layers {
        assert_eq!((&layer["reason"], &layer["weights"]["scale_rule"]), (&json!("rule"), &json!("amax/127")));
        assert!(number(&layer["weights"]["sqnr_db"]) > 35.0 && number(&layer["activations"][0]["amax_chosen"]) > 0.0);
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
        let weights = report["layers"].as_array().unwrap().iter().map(|layer| &layer["weights"]);
        let rules: Vec<&Value> = weights.filter(|weights| !weights.is_null()).map(|w| &w["scale_rule"]).collect();
        assert!(!rules.is_empty() && rules.iter().all(|rule| *rule == "amax/63"), "{model}: {rules:?}");
        let codes: Vec<&Value> =
            report["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
        assert_eq!(codes, ["float32_outside_pairs"], "{model}");
    }
}

/// Every algorithm and every dtype on every model, within the loss that a user would accept.
#[test]
fn algorithms_and_dtypes_keep_the_accuracy() {
    let server = Server::start();
    let half = |dtype: &str| json!({"dtype": dtype});
    let static_ptq = |dtype: &str, algorithm: &str| {
        json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": algorithm,
            "backend_kwargs": {"reduce_range": dtype == "int8"},
            "layers": [{"module_name": "*", "weights": half(dtype), "activations": half(dtype)}]})
    };
    for model in ["convnet.onnx", "mobilenet.onnx", "vit.onnx"] {
        let mut most: Vec<(Value, f64, f64)> =
            ["entropy", "percentile", "mse"].map(|algorithm| (static_ptq("int8", algorithm), 0.005, 20.0)).into();
        most.push((static_ptq("fp8_e4m3fn", "minmax"), 0.008, 20.0));
        most.push((static_ptq("fp8_e5m2", "minmax"), 0.01, 15.0));
        for (rules, loss, decibels) in most {
            let name = rules.to_string();
            let (verdict, report) = quantize(&server, model, rules);
            // onnxruntime's default optimization cannot run fp8, which the report says.
            let fp8 = name.contains("fp8");
            let after = number(&verdict[if fp8 { "accuracy_unfused" } else { "accuracy" }]);
            let lost = number(&verdict["accuracy_float"]) - after;
            let sqnr = number(&report["summary"]["output_sqnr_db"]);
            assert!(lost <= loss && sqnr > decibels, "{model} {name}: {lost} {sqnr}");
        }
    }
}

#[test]
fn weights_alone_may_be_int4_in_blocks_beside_other_dtypes() {
    let server = Server::start();
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": {"block_size": 32}, "layers": [
        {"module_name": "type:MatMul", "weights": {"dtype": "int4"}},
        {"module_name": "node_MatMul_1?", "weights": {"dtype": "fp8_e4m3fn"}, "activations": {"dtype": "fp8_e4m3fn"}},
        {"module_name": "type:Gemm", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}, "algorithm": "mse"}]});
    let (verdict, report) = quantize(&server, "vit.onnx", rules);
    assert!(number(&verdict["accuracy_unfused"]) >= number(&verdict["accuracy_float"]) - 0.02, "{verdict:#}");
    let of = |op_type: &str, field: &str| -> Vec<String> {
        let layers = report["layers"].as_array().unwrap().iter().filter(|layer| layer["op_type"] == op_type);
        let layers = layers.filter(|layer| !layer["weights"].is_null());
        let mut found: Vec<String> = layers.map(|layer| layer["weights"][field].to_string()).collect();
        found.dedup();
        found
    };
    assert_eq!(of("MatMul", "dtype")[..2], ["\"fp8_e4m3fn\"", "\"int4\""]);
    assert_eq!(of("Gemm", "dtype"), ["\"int8\""]);
    assert!(of("MatMul", "granularity").contains(&"\"per_group_32\"".to_owned()));
    assert!(report["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "opset_upgraded"));
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
        .map(|layer| (layer["reason"].as_str().unwrap(), layer["activations"] == json!([])))
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
        for side in ["min", "max"] {
            let (a, b) = (number(&range[side]), number(&many[tensor][side]));
            // The runtime's own rounding differs between batch sizes; ours does not.
            assert!((a - b).abs() <= 1e-5 * b.abs(), "{tensor}: {a} {b}");
        }
        assert_eq!(range["count"], many[tensor]["count"]);
    }
}

/// A later job takes what an earlier one saw in place of data, for another dtype by another algorithm.
#[test]
fn calibration_is_done_once() {
    let server = Server::start();
    let rules = |dtype: &str, algorithm: &str| {
        let half = json!({"dtype": dtype});
        json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": algorithm,
            "layers": [{"module_name": "*", "weights": half, "activations": half}]})
    };
    let folder = |name: &str| server.folder.path().join(name);
    server.client.run(&job("convnet.onnx", rules("int8", "entropy")), &folder("first"));
    server.client.run(&job("convnet.onnx", rules("fp8_e4m3fn", "mse")), &folder("direct"));
    let mut later = job("convnet.onnx", rules("fp8_e4m3fn", "mse"));
    later["calibration"] = json!({"uri": uri(&folder("first").join("calibration.json"))});
    let finished = server.client.run(&later, &folder("later"));
    assert_eq!(finished["result"]["summary"]["seconds"]["calibrating"], Value::Null, "{:#}", finished["result"]);
    let model = |name: &str| std::fs::read(folder(name).join("model.onnx")).unwrap();
    assert_eq!(model("later"), model("direct"));
    // Ranges alone are not enough for an algorithm that needs the histogram.
    server.client.run(&job("convnet.onnx", rules("int8", "minmax")), &folder("ranges"));
    later["calibration"] = json!({"uri": uri(&folder("ranges").join("calibration.json"))});
    let failed = server.client.wait(&server.client.submit(&later));
    let error = &failed["error"];
    assert_eq!(error["code"], "calibration_record_invalid", "{error:#}");
    assert!(error.to_string().contains("no histograms, which algorithm `mse` needs"), "{error:#}");
}
