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
    let (code, stdout, _) = outcome(ptqd().arg("--version").env("ORT_DYLIB_PATH", "/no/such/library"));
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with(concat!("ptqd ", env!("CARGO_PKG_VERSION"), " (commit ")), "{stdout}");
    assert!(stdout.contains("ONNX Runtime: none ("), "{stdout}");
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

#[test]
fn an_openvino_that_is_not_there_is_an_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    fs::write(&spec, r#"{"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}"#).unwrap();
    let mut quantize = ptqd();
    quantize.arg("quantize").arg("--spec").arg(&spec).arg("--model").arg(fixture("convnet.onnx"));
    quantize.arg("--out").arg(folder.path().join("out"));
    let mut serve = ptqd();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
    for mut command in [quantize, serve] {
        let (code, _, stderr) = outcome(command.arg("--openvino").arg(folder.path()));
        assert!(code == Some(1) && stderr.contains("the setting --openvino names"), "{code:?} {stderr}");
    }
}

/// Output and exit code of the program with a configuration file.
fn with_file(text: &str, arguments: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ptqd.toml");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ptqd")).arg("--config").arg(&file).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

#[test]
fn the_example_of_the_configuration_file_is_current_and_every_line_of_it_is_taken() {
    let committed = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ptqd.example.toml")).unwrap_or_default();
    let (current, code) = with_file("", &["config", "example"]);
    assert!((&current, code) == (&committed, 0), "stale: run `cargo run -- config example >ptqd.example.toml`");
    // A comment begins with a capital letter or goes on in words; a key is a word and an equals sign.
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let keys: Vec<&str> =
        committed.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| is_key(line)).collect();
    assert!(keys.len() > 20);
    // Only a program with the feature takes this one.
    let keys: Vec<&str> = keys.into_iter().filter(|line| !line.starts_with("otlp_endpoint")).collect();
    let (told, code) = with_file(&keys.join("\n"), &["config", "check"]);
    assert_eq!(code, 0, "{told}");
    for key in keys.iter().map(|line| line.split(" = ").next().unwrap()) {
        let global = ["log", "log_format"].contains(&key);
        assert!(global || told.contains(&format!("{key} = ")), "{key} is not in\n{told}");
    }
}

#[test]
fn config_check_finds_mistakes_and_prints_no_secrets() {
    let file = "database_url = \"postgres://me:secret@db/x\"\nworkers = 3\n";
    let (told, code) = with_file(file, &["config", "check", "--lease-seconds", "7"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("postgres://me:…@db/x") && !told.contains("secret"), "{told}");
    assert!(told.contains("workers = 3") && told.contains("lease_seconds = 7"), "{told}");
    for (wrong, word) in
        [("lissten = 1", "`listen`"), ("workers = \"x\"", "workers"), ("x = [", "TOML"), ("workers = {}", "workers")]
    {
        let (told, code) = with_file(wrong, &["config", "check"]);
        assert!(code == 2 && told.contains(word), "{wrong}: {code} {told}");
    }
    let (told, code) = with_file("listen = \"nowhere\"", &["serve"]);
    assert!(code == 2 && told.contains("nowhere"), "{told}");
}
