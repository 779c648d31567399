//! Placements for CPUs: what onnxruntime's default session makes of their results.

use std::path::Path;

use ptqd::backend::Evaluation;
use serde_json::{Value, json};

use crate::support::{data, local_job, python, run_local};

/// Quantizes a net to int8; the report, and what onnxruntime makes of the result.
fn quantize(folder: &Path, net: &str, options: &Value) -> (Value, Value) {
    let int8 = json!({"dtype": "int8"});
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": options,
        "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
    let (model, samples) = (folder.join(format!("{net}.onnx")), folder.join(format!("{net}.npz")));
    let mut job = local_job(&model, &rules);
    job.inputs.calibration = Some(data(&samples));
    let out = tempfile::tempdir_in(folder).unwrap().keep();
    let report = run_local(&job, &out.join("out")).unwrap();
    (report, python("cpu_nets.py", &[&out.join("out/model.onnx"), &samples, &model]))
}

fn made(name: &str, options: &Value) -> (Value, Value) {
    let folder = tempfile::tempdir().unwrap();
    python("cpu_nets.py", &[folder.path()]);
    quantize(folder.path(), name, options)
}

/// The expected operators, and the fidelity of both sessions.
fn assert_fused(name: &str, found: &Value, expected: &[(&str, u64)]) {
    for (op, count) in expected {
        assert_eq!(found[op].as_u64().unwrap_or(0), *count, "{name}: {op} in {found:#}");
    }
    let [db, plain] = ["db", "plain_db"].map(|name| found[name].as_f64().unwrap());
    assert!(db > 25.0 && (db - plain).abs() < 3.0, "{name}: {found:#}");
}

#[test]
fn every_operator_of_a_residual_net_computes_in_codes() {
    for placement in ["onnxruntime", "openvino"] {
        let (report, found) = made("residual", &json!({"placement": placement}));
        let expected = [
            ("QLinearConv", 7),
            ("QLinearAdd", 2),
            ("QGemm", 1),
            ("Conv", 0),
            ("FusedConv", 0),
            ("DequantizeLinear", 0),
        ];
        assert_fused(placement, &found, &expected);
        let layers = report["layers"].as_array().unwrap();
        let activations = layers.iter().flat_map(|layer| layer["activations"].as_array().unwrap());
        let behind_relu: Vec<&Value> =
            activations.filter(|activation| activation["tensor"].as_str().unwrap().starts_with("Relu")).collect();
        assert!(!behind_relu.is_empty());
        for activation in behind_relu {
            // All codes are for what a Relu leaves.
            assert_eq!((&activation["codes"], &activation["zero_point"]), (&json!("uint8"), &json!(0)), "{activation}");
            assert_eq!(activation["min_chosen"], 0.0);
        }
    }
}

#[test]
fn gates_and_joined_tensors_compute_in_codes() {
    let (_, found) = made("gated", &json!({"placement": "onnxruntime"}));
    let expected = [("QLinearConv", 6), ("QLinearMul", 3), ("QLinearSigmoid", 3), ("QLinearConcat", 1), ("Conv", 0)];
    assert_fused("gated", &found, &expected);
}

#[test]
fn constant_tensors_between_layers_in_codes_are_in_codes_where_that_costs_little() {
    let (report, found) = made("scaled", &json!({"placement": "onnxruntime"}));
    let expected = [("QLinearConv", 4), ("QLinearMul", 3), ("QLinearAdd", 2), ("Mul", 0), ("Add", 1), ("QGemm", 1)];
    assert_fused("onnxruntime", &found, &expected);
    let layers = report["layers"].as_array().unwrap();
    let simulated = layers.iter().filter(|layer| layer["op_type"] == "Mul").map(|layer| &layer["output_sqnr_db"]);
    let simulated: Vec<f64> = simulated.map(|db| db.as_f64().unwrap()).collect();
    assert!(simulated.len() == 3 && simulated.iter().all(|db| *db > 25.0), "{simulated:?}");
    // OpenVINO multiplies in floats, as part of the convolution before.
    let (_, found) = made("scaled", &json!({"placement": "openvino"}));
    assert_fused("openvino", &found, &[("QLinearMul", 0), ("QGemm", 1)]);
}

#[test]
fn weights_that_are_all_but_zero_next_to_their_bias_compute_in_codes() {
    for placement in ["onnxruntime", "openvino"] {
        let (_, found) = made("vanished", &json!({"placement": placement}));
        assert_fused(placement, &found, &[("QLinearConv", 3), ("Conv", 0), ("FusedConv", 0), ("QGemm", 1)]);
    }
}

#[test]
fn every_linear_layer_of_an_encoder_computes_in_codes_and_nothing_else_does() {
    let float = [("MatMul", 2), ("FusedMatMul", 2), ("QLinearAdd", 0), ("DequantizeLinear", 0)];
    let (report, found) = made("encoder", &json!({"placement": "onnxruntime"}));
    assert_fused("encoder", &found, &[&float[..], &[("MatMulIntegerToFloat", 0), ("QGemm", 12)]].concat());
    let layers = report["layers"].as_array().unwrap();
    let quantized = layers.iter().filter(|layer| layer["decision"] == "quantize").count();
    assert_eq!(quantized, 12, "{layers:#?}");
}

#[test]
fn embedding_tables_are_picked_in_int8_and_tied_heads_compute_in_codes() {
    let folder = tempfile::tempdir().unwrap();
    python("cpu_nets.py", &[folder.path()]);
    for (net, head) in [("words", "MatMulIntegerToFloat"), ("tied", "QGemm")] {
        for placement in ["onnxruntime", "openvino"] {
            let (report, found) = quantize(folder.path(), net, &json!({"placement": placement}));
            // Codes and scales of the rows that the input names; what constants name is picked once.
            assert_fused(net, &found, &[("Gather", 2), ("Gemm", 0), ("MatMul", 0), ("DequantizeLinear", 0)]);
            assert!(found[head].as_u64().unwrap() > 0, "{net} for {placement}: {found:#}");
            let layers = report["layers"].as_array().unwrap();
            let tables: Vec<&Value> = layers.iter().filter(|layer| layer["form"] == "gathered").collect();
            let reasons: Vec<&str> = tables.iter().map(|layer| layer["reason"].as_str().unwrap()).collect();
            assert_eq!(reasons, ["rule", "rule", "tied"], "{net}: {tables:#?}");
            for weights in tables[..2].iter().map(|layer| &layer["weights"]) {
                let rows = weights["bytes_before"].as_u64().unwrap() / (4 * 32);
                assert_eq!(weights["bytes_after"].as_u64().unwrap(), rows * 36, "{weights:#}");
                assert!(weights["sqnr_db"].as_f64().unwrap() > 40.0, "{weights:#}");
            }
            assert!(tables.iter().all(|layer| layer["activations"] == json!([])), "{tables:#?}");
        }
    }
}

#[test]
fn tables_are_studied_are_carried_to_f16_and_need_no_data() {
    let folder = tempfile::tempdir().unwrap();
    python("cpu_nets.py", &[folder.path()]);
    let (model, samples) = (folder.path().join("words.onnx"), folder.path().join("words.npz"));
    let int8 = json!({"dtype": "int8"});
    for (precision, scale_bytes) in [("fp32", 4), ("fp16", 2)] {
        let options = json!({"placement": "onnxruntime", "high_precision_dtype": precision});
        let rules = json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": "entropy", "backend_kwargs": options,
            "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
        let mut job = local_job(&model, &rules);
        job.inputs.calibration = Some(data(&samples));
        job.inputs.evaluation = Some(Evaluation { data: data(&samples), labels: None });
        let out = folder.path().join(precision);
        let report = run_local(&job, &out).unwrap();
        let layers = report["layers"].as_array().unwrap();
        let table = layers.iter().find(|layer| layer["form"] == "gathered").unwrap();
        assert!(table["output_sqnr_db"].as_f64().unwrap() > 35.0, "{precision}: {table:#}");
        assert_eq!(table["weights"]["bytes_after"], 16 * (32 + scale_bytes), "{precision}: {table:#}");
        assert!(report["summary"]["output_sqnr_db"].as_f64().unwrap() > 25.0, "{precision}: {:#}", report["summary"]);
    }
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": {"placement": "onnxruntime"},
        "layers": [{"module_name": "type:Embedding", "weights": int8}]});
    let report = run_local(&local_job(&model, &rules), &folder.path().join("alone")).unwrap();
    assert_eq!(report["summary"]["layers_quantized"], 3, "{report:#}");
}

#[test]
fn for_openvino_the_products_of_an_attention_are_in_codes_and_gates_in_floats() {
    let (_, found) = made("encoder", &json!({"placement": "openvino"}));
    // onnxruntime has a kernel of two tensors in codes for what reads the Softmax alone.
    let expected =
        [("MatMulIntegerToFloat", 14), ("QLinearMatMul", 2), ("QGemm", 0), ("MatMul", 0), ("DequantizeLinear", 0)];
    assert_fused("encoder", &found, &expected);
    let (_, found) = made("gated", &json!({"placement": "openvino"}));
    assert_fused("gated", &found, &[("QLinearMul", 0), ("QLinearSigmoid", 0)]);
}

#[test]
fn linear_layers_with_dynamic_scales_need_no_data_and_compute_in_codes() {
    let folder = tempfile::tempdir().unwrap();
    python("cpu_nets.py", &[folder.path()]);
    let (model, samples) = (folder.path().join("encoder.onnx"), folder.path().join("encoder.npz"));
    let rules = |placement: &str| {
        let activations = json!({"dtype": "int8", "dynamic": true});
        json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": {"placement": placement},
            "layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": activations}]})
    };
    let out = folder.path().join("out");
    let report = run_local(&local_job(&model, &rules("onnxruntime")), &out).unwrap();
    let found = python("cpu_nets.py", &[&out.join("model.onnx"), &samples, &model]);
    let float = [("MatMul", 2), ("FusedMatMul", 2), ("DequantizeLinear", 0), ("MatMulInteger", 0)];
    assert_fused("dynamic", &found, &float);
    let fused = ["MatMulIntegerToFloat", "DynamicQuantizeMatMul"].map(|op| found[op].as_u64().unwrap_or(0));
    assert_eq!(fused.iter().sum::<u64>(), 12, "{found:#}");
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.iter().filter(|layer| layer["form"] == "matmul_integer").count(), 12, "{layers:#?}");
    assert!(report["latency"]["after_ms"].as_f64().unwrap() > 0.0, "measured with random numbers");

    // The simulation of the study has the same ranges, batch by batch.
    let mut job = local_job(&model, &rules("onnxruntime"));
    job.inputs.evaluation = Some(Evaluation { data: data(&samples), labels: None });
    let evaluated = run_local(&job, &folder.path().join("evaluated")).unwrap();
    let layer = evaluated["layers"].as_array().unwrap().iter().rfind(|layer| layer["form"] == "matmul_integer");
    let [of_layer, of_file] = [&layer.unwrap()["output_sqnr_db"], &evaluated["summary"]["output_sqnr_db"]];
    assert!(of_layer.as_f64().unwrap() > 20.0 && of_file.as_f64().unwrap() > 20.0, "{of_layer} {of_file}");

    let error = run_local(&local_job(&model, &rules("tensorrt")), &folder.path().join("none")).unwrap_err();
    assert!(
        error.to_string().contains("placement `tensorrt` has no scales of activations that are computed"),
        "{error}"
    );
}

#[test]
fn symmetric_codes_cost_accuracy_and_zero_points_are_not_for_tensorrt() {
    let with = |activations: &str| {
        let (_, found) = made("residual", &json!({"placement": "onnxruntime", "activations": activations}));
        found["plain_db"].as_f64().unwrap()
    };
    assert!(with("asymmetric") > with("symmetric") + 1.0);
    let folder = tempfile::tempdir().unwrap();
    python("cpu_nets.py", &[folder.path()]);
    let int8 = json!({"dtype": "int8"});
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": {"activations": "asymmetric"},
        "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
    let mut job = local_job(&folder.path().join("residual.onnx"), &rules);
    job.inputs.calibration = Some(data(&folder.path().join("residual.npz")));
    let error = run_local(&job, &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("placement `tensorrt` has no zero points"), "{error}");
}
