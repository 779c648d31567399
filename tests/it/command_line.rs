//! `ptqd quantize` and the other subcommands, as a shell sees them.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{fixture, needed};

fn ptqd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    command.env("ORT_DYLIB_PATH", needed("ORT_DYLIB_PATH"));
    command
}

/// Exit code, stdout, stderr.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn quantize_writes_what_a_server_would() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, out) = (folder.path().join("quantize.yaml"), folder.path().join("out"));
    // A TAO experiment spec: the section is found in it.
    fs::write(
        &spec,
        "results_dir: /results\nquantize:\n  backend: modelopt.onnx\n  mode: static_ptq\n  algorithm: minmax\n  layers:\n  \
         - module_name: '*'\n    weights: {dtype: int8}\n    activations: {dtype: int8}\n  skip_names: ['head']\n",
    )
    .unwrap();
    let quantize = || {
        let mut command = ptqd();
        command.arg("quantize").arg("--model").arg(fixture("convnet.onnx")).arg("--spec").arg(&spec);
        command.arg("--calibration").arg(fixture("calibration.npz")).args(["--labels", "y"]);
        command.arg("--evaluation").arg(fixture("evaluation.npz"));
        command
    };
    let (code, stdout, stderr) = outcome(quantize().arg("--out").arg(&out));
    assert_eq!(code, Some(0), "{stderr}");
    for word in ["smaller", "top-1", "worst weights", "peak memory", "model.onnx"] {
        assert!(stdout.contains(word), "{word} is not in\n{stdout}");
    }
    // Not a terminal: plain lines, no bar.
    assert!(stderr.contains("calibrating\n") && !stderr.contains('\r') && !stderr.contains('\x1b'), "{stderr}");
    assert!(stderr.contains("`modelopt.onnx` was read as `modelopt`"), "{stderr}");
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let size = fs::metadata(out.join(file["name"].as_str().unwrap())).unwrap().len();
        assert_eq!(file["size"].as_u64(), Some(size));
    }
    assert_eq!(manifest["tensors"].as_array().unwrap().len(), 6);

    let (code, _, stderr) = outcome(quantize().arg("--out").arg(&out));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("not empty"), "{stderr}");
    // A plan needs no data yet.
    let mut plan_only = ptqd();
    plan_only.arg("quantize").arg("--model").arg(fixture("convnet.onnx")).arg("--spec").arg(&spec).arg("--plan-only");
    let (code, stdout, _) = outcome(&mut plan_only);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &plan["plan"]["patterns"][1]["matches"]), (Some(0), &Value::from(1)));
}

#[test]
fn invalid_input_exits_with_2_and_lists_every_objection() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("q.json");
    fs::write(
        &spec,
        r#"{"backend": "torchao", "mode": "qat", "layers": [{"module_name": "", "weights": {"dtype": "x"}}]}"#,
    )
    .unwrap();
    let mut command = ptqd();
    command.arg("quantize").arg("--spec").arg(&spec).arg("--out").arg(folder.path().join("o"));
    let (code, _, stderr) = outcome(command.arg("--model").arg(fixture("vit.safetensors")));
    assert_eq!(code, Some(2));
    for pointer in ["/mode", "/layers/0/module_name", "/layers/0/weights/dtype"] {
        assert!(stderr.contains(&format!("error: {pointer}:")), "{pointer} is not in\n{stderr}");
    }
    assert!(!folder.path().join("o").exists());

    fs::write(&spec, r#"{"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}"#).unwrap();
    let mut command = ptqd();
    command.arg("quantize").arg("--spec").arg(&spec).arg("--out").arg(folder.path().join("o"));
    let (code, _, stderr) = outcome(command.arg("--model").arg(folder.path().join("none.safetensors")));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("[model_unreadable]"), "{stderr}");
}

#[test]
fn weights_alone_need_no_engine() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, out) = (folder.path().join("q.yaml"), folder.path().join("out"));
    fs::write(&spec, "backend: modelopt\nlayers: [{module_name: Conv2d, weights: {dtype: int8}}]\n").unwrap();
    let mut command = ptqd();
    command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so").arg("quantize").arg("--spec").arg(&spec);
    let (code, _, stderr) = outcome(command.arg("--model").arg(fixture("convnet.onnx")).arg("--out").arg(&out));
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["environment"]["onnxruntime"], &report["summary"]["output_sqnr_db"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(report["summary"]["layers_quantized"], 6);
}

#[test]
fn migrate_and_version_work_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = outcome(ptqd().args(["migrate", "--data-dir"]).arg(folder.path().join("d")));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(folder.path().join("d/ptqd.sqlite").exists());
    let (code, stdout, _) = outcome(ptqd().arg("--version"));
    assert_eq!((code, stdout.trim()), (Some(0), concat!("ptqd ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_missing_engine_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    let half = r#"{"dtype": "int8"}"#;
    let rules = format!(r#"{{"module_name": "*", "weights": {half}, "activations": {half}}}"#);
    fs::write(&spec, format!(r#"{{"backend": "modelopt", "mode": "static_ptq", "layers": [{rules}]}}"#)).unwrap();
    let mut command = ptqd();
    command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so").arg("quantize").arg("--spec").arg(&spec);
    command.arg("--model").arg(fixture("convnet.onnx")).arg("--calibration").arg(fixture("calibration.npz"));
    let (code, _, stderr) = outcome(command.arg("--out").arg(folder.path().join("out")));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("[engine_unavailable]") && stderr.contains("make setup"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
