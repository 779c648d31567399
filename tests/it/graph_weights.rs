//! Weight-only PTQ of ONNX graphs, judged by onnx and onnxruntime.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Server, fixture, python, uri};

fn job(model: &Path, dtype: &str, options: &Value) -> Value {
    json!({"model": {"uri": uri(model)}, "quantize": {"backend": "torchao", "backend_kwargs": options,
        "layers": [{"module_name": "type:*", "weights": {"dtype": dtype}}]}})
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

/// Quantizes, and checks that the graph computes what its codes stand for; the verdict.
fn check(server: &Server, model: &Path, dtype: &str, options: &Value) -> Value {
    let name = format!("{}-{dtype}-{}", model.file_stem().unwrap().display(), options.to_string().len());
    let out = server.folder.path().join(name);
    server.client.run(&job(model, dtype, options), &out);
    let verdict = python("check_weight_only.py", &[model, &out.join("model.onnx")]);
    // f16 products of the same numbers differ by their order of summation alone.
    assert!(verdict["decoded_db"].as_f64().unwrap() > 60.0, "{dtype} {options}: {verdict}");
    let layers = report(&out)["layers"].as_array().unwrap().iter().filter(|l| !l["weights"].is_null()).count();
    assert_eq!(verdict["dequantize"], layers, "{dtype} {options}");
    verdict
}

#[test]
fn graphs_compute_what_their_codes_stand_for() {
    let server = Server::start();
    for (model, dtype, options, opset, least_db) in [
        ("convnet", "int8", json!({}), 18, 35.0),
        ("convnet", "fp8_e4m3fn", json!({}), 19, 20.0),
        ("mobilenet", "int8", json!({"granularity": "per_tensor"}), 18, 30.0),
        ("mobilenet", "fp8_e5m2", json!({}), 19, 15.0),
        ("vit", "int8", json!({"symmetric": false}), 18, 35.0),
        ("vit", "int4", json!({"group_size": 32}), 21, 15.0),
        ("vit", "int4", json!({"granularity": "per_row", "symmetric": false}), 21, 15.0),
    ] {
        let verdict = check(&server, &fixture(&format!("{model}.onnx")), dtype, &options);
        assert_eq!((&verdict["opset"], &verdict["external"]), (&json!(opset), &json!(false)), "{model} {dtype}");
        assert!(verdict["original_db"].as_f64().unwrap() > least_db, "{model} {dtype} {options}: {verdict}");
    }
}

#[test]
fn external_data_goes_in_and_out_and_nowhere_else() {
    let server = Server::start();
    let folder = server.folder.path().to_owned();
    python("make_graphs.py", &[&folder, &fixture("vit.onnx")]);
    let verdict = check(&server, &folder.join("external.onnx"), "int8", &json!({}));
    assert_eq!(verdict["external"], true);
    let inside = check(&server, &fixture("vit.onnx"), "int8", &json!({}));
    assert_eq!(inside["original_db"], verdict["original_db"]);
    for number in 0..7 {
        let model = folder.join(format!("hostile-{number}.onnx"));
        let failed = server.client.wait(&server.client.submit(&job(&model, "int8", &json!({}))));
        assert_eq!(failed["error"]["code"], "external_data_invalid", "{number}: {failed:#}");
    }
}

#[test]
fn tied_constants_half_precision_and_older_operator_sets() {
    let server = Server::start();
    let folder = server.folder.path().to_owned();
    python("make_graphs.py", &[&folder, &fixture("vit.onnx")]);
    let verdict = check(&server, &folder.join("tied.onnx"), "int8", &json!({}));
    assert_eq!(verdict["dequantize"], 1);
    let layers = report(&folder.join("tied-int8-2"))["layers"].clone();
    let reason =
        |name: &str| layers.as_array().unwrap().iter().find(|l| l["name"] == name).map(|l| l["reason"].clone());
    assert_eq!(reason("first"), Some(json!("rule")));
    assert_eq!(reason("second"), Some(json!("tied")));
    assert_eq!(reason("head"), Some(json!("tied_to_native")));

    let half = check(&server, &folder.join("half.onnx"), "int8", &json!({}));
    assert_eq!(half["opset"], 19, "scales of f16 need it");
    let old = check(&server, &folder.join("old.onnx"), "int4", &json!({"group_size": 32}));
    assert_eq!(old["opset"], 21);
    let warnings = report(&folder.join("old-int4-17"))["warnings"].clone();
    let upgraded = warnings.as_array().unwrap().iter().find(|w| w["code"] == "opset_upgraded").unwrap();
    let message = upgraded["message"].as_str().unwrap();
    assert!(message.contains("mean (ReduceMean)") && message.contains("split (Split)"), "{message}");
}
