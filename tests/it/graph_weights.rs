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

#[test]
fn tables_are_decoded_row_by_row_behind_their_gather() {
    let server = Server::start();
    let folder = server.folder.path().to_owned();
    python("make_graphs.py", &[&folder, &fixture("vit.onnx")]);
    let (model, out) = (folder.join("tables.onnx"), folder.join("tables"));
    let mut quantize = job(&model, "int8", &json!({}));
    quantize["quantize"]["layers"][0]["module_name"] = json!("*");
    server.client.run(&quantize, &out);
    let verdict = python("check_weight_only.py", &[&model, &out.join("model.onnx")]);
    assert_eq!(verdict["dequantize"], 1, "that of the product");
    assert!(verdict["original_db"].as_f64().unwrap() > 38.0, "{verdict}");
    let report = report(&out);
    let layer = |name: &str| report["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == name).unwrap();
    for (name, reason, form) in [
        ("words", "rule", json!("gathered")),
        ("more_words", "tied", json!("gathered")),
        ("half", "rule", json!("gathered")),
        ("narrow", "embedding_not_named", Value::Null),
        ("fc", "rule", Value::Null),
    ] {
        assert_eq!((&layer(name)["reason"], &layer(name)["form"]), (&json!(reason), &form), "{name}");
    }
    let bytes = |name: &str| layer(name)["weights"]["bytes_after"].as_u64().unwrap();
    assert_eq!((bytes("words"), bytes("half")), (100 * 68, 100 * 66));
}

/// The verdict on the form `matmul_nbits` of a model beside its usual form, both in groups of 32.
fn check_nbits(server: &Server, model: &Path, dtype: &str, level: u64) -> (Value, Value) {
    let name = format!("{}-{dtype}-{level}", model.file_stem().unwrap().display());
    let [qdq, nbits] = ["qdq", "nbits"].map(|form| server.folder.path().join(format!("{name}-{form}")));
    server.client.run(&job(model, dtype, &json!({"group_size": 32})), &qdq);
    let options = json!({"form": "matmul_nbits", "group_size": 32, "accuracy_level": level});
    server.client.run(&job(model, dtype, &options), &nbits);
    let verdict = python("check_nbits.py", &[model, &qdq.join("model.onnx"), &nbits.join("model.onnx")]);
    (verdict, report(&nbits))
}

#[test]
fn nodes_of_matmul_nbits_compute_what_the_usual_form_does() {
    let server = Server::start();
    let folder = server.folder.path().to_owned();
    python("make_graphs.py", &[&folder, &fixture("vit.onnx")]);
    for dtype in ["int4", "int8"] {
        for (level, most) in [(0, 1e-5), (4, 5e-2)] {
            let (verdict, report) = check_nbits(&server, &folder.join("products.onnx"), dtype, level);
            for session in ["unoptimized", "default"] {
                let difference = verdict[session].as_f64().unwrap();
                assert!(difference < most, "{dtype}, level {level}, {session}: {verdict}");
            }
            assert_eq!((&verdict["nodes"], &verdict["dequantize"]), (&json!(6), &json!(1)), "{verdict}");
            assert_eq!(verdict["domains"]["com.microsoft"], 1);
            let bits = if dtype == "int4" { 4 } else { 8 };
            let first = json!({"K": 96, "N": 64, "bits": bits, "block_size": 32, "accuracy_level": level});
            assert_eq!(verdict["attributes"][0], first);
            let form = |name: &str| {
                let mut layers = report["layers"].as_array().unwrap().iter();
                layers.find(|layer| layer["name"] == name).map(|layer| layer["form"].clone())
            };
            assert_eq!(form("plain"), Some(json!("matmul_nbits")));
            assert_eq!(form("half"), Some(Value::Null));
            let mut warnings = report["warnings"].as_array().unwrap().iter();
            let warning = warnings.find(|warning| warning["code"] == "stored_as_qdq").unwrap();
            assert!(warning["message"].as_str().unwrap().starts_with("`half` are"), "{warning}");
        }
    }
}

#[test]
fn a_last_block_that_is_not_full_and_zero_points_are_nothing_to_matmul_nbits() {
    let server = Server::start();
    let folder = server.folder.path().to_owned();
    python("make_graphs.py", &[&folder, &fixture("vit.onnx")]);
    let model = folder.join("ragged.onnx");
    for (dtype, least_db) in [("int4", 15.0), ("int8", 40.0)] {
        for symmetric in [true, false] {
            let out = folder.join(format!("{dtype}-{symmetric}"));
            let options =
                json!({"form": "matmul_nbits", "group_size": 32, "accuracy_level": 0, "symmetric": symmetric});
            server.client.run(&job(&model, dtype, &options), &out);
            let quantized = out.join("model.onnx");
            let verdict = python("check_nbits.py", &[&model, &quantized, &quantized]);
            assert_eq!(verdict["nodes"], 2);
            assert!(verdict["original_db"].as_f64().unwrap() > least_db, "{dtype} {symmetric}: {verdict}");
        }
    }
}
