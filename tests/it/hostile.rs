//! URIs, locations of weights and names of files that lead where they should not: each is refused, with a reason that has a
//! name, and nothing is read.

use std::{fs, os::unix::fs::symlink};

use axum::{
    Json, Router,
    routing::{any, get},
};
use serde_json::{Value, json};

use crate::support::{Cloud, Server, fixture, program, python, serve, serve_router};

fn int8(model: &str) -> Value {
    json!({"model": {"uri": model}, "max_attempts": 1,
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

const MALFORMED: &str = "uri_malformed";
const SCHEME: &str = "uri_scheme_unsupported";
const CREDENTIALS: &str = "uri_has_credentials";
const ADDRESS: &str = "address_not_allowed";
const CLOSED: &str = "uri_not_allowed";

/// Refused by their text alone, by a server with one open bucket and one open folder.
const URIS: [(&str, &str); 60] = [
    ("", MALFORMED),
    ("model.onnx", MALFORMED),
    ("/etc/passwd", MALFORMED),
    ("../../etc/passwd", MALFORMED),
    ("//169.254.169.254/x", MALFORMED),
    ("file://host/etc/passwd", MALFORMED),
    ("file:///etc/passwd%00.onnx", MALFORMED),
    ("file:///x.onnx\u{0}", MALFORMED),
    ("s3://models/x.onnx\r\nHost: evil", MALFORMED),
    ("s3://models/../other/x.onnx", MALFORMED),
    ("s3://models/a/../../other/x.onnx", MALFORMED),
    ("s3://models/./x.onnx", MALFORMED),
    ("s3://models//x.onnx", MALFORMED),
    ("s3://models\\..\\other/x.onnx", MALFORMED),
    ("s3://models/a\\..\\..\\x", MALFORMED),
    ("s3://models/x.onnx?versionId=../..", MALFORMED),
    ("s3://models/x.onnx#y", MALFORMED),
    ("s3://models", MALFORMED),
    ("s3://../x.onnx", MALFORMED),
    ("s3://169.254.169.254:80/x.onnx", MALFORMED),
    ("s3://models@169.254.169.254/x.onnx", CREDENTIALS),
    ("s3://AKIA:secret@models/x.onnx", CREDENTIALS),
    ("s3://models.evil.com%2f/x.onnx", MALFORMED),
    ("s3:/models/x.onnx", MALFORMED),
    ("s3:models/x.onnx", MALFORMED),
    ("S3://other/x.onnx", CLOSED),
    ("s3://other/x.onnx", CLOSED),
    ("s3://models-of-others/x.onnx", CLOSED),
    ("gs://models/x.onnx", CLOSED),
    ("az://models/x.onnx", CLOSED),
    ("gs://models/../x", MALFORMED),
    ("az://-x-/x", MALFORMED),
    ("hf://owner/name", CLOSED),
    ("hf://owner", MALFORMED),
    ("hf://../../etc", MALFORMED),
    ("hf://owner/name/../../x", MALFORMED),
    ("hf://owner/name@../../api", MALFORMED),
    ("hf://owner/name@%2e%2e", MALFORMED),
    ("hf://hf_token@huggingface.co/owner/name", MALFORMED),
    ("https://example.com/x.onnx", CLOSED),
    ("http://example.com/x.onnx", ADDRESS),
    ("https://user:pw@example.com/x.onnx", CREDENTIALS),
    ("https://example.com/x.onnx?X-Amz-Signature=1", CREDENTIALS),
    ("https://example.com/x.onnx?token=1", CREDENTIALS),
    ("https://localhost/x.onnx", ADDRESS),
    ("https://127.0.0.1/x.onnx", ADDRESS),
    ("https://127.1/x.onnx", ADDRESS),
    ("https://0177.0.0.1/x.onnx", ADDRESS),
    ("https://0x7f000001/x.onnx", ADDRESS),
    ("https://2130706433/x.onnx", ADDRESS),
    ("https://0/x.onnx", ADDRESS),
    ("https://10.0.0.1/x.onnx", ADDRESS),
    ("https://172.16.0.1/x.onnx", ADDRESS),
    ("https://192.168.0.1/x.onnx", ADDRESS),
    ("https://169.254.169.254/latest/meta-data/iam", ADDRESS),
    ("https://[::1]/x.onnx", ADDRESS),
    ("https://[::ffff:169.254.169.254]/x.onnx", ADDRESS),
    ("https://[fd00:ec2::254]/x.onnx", ADDRESS),
    ("https://metadata.google.internal/computeMetadata/v1/x", ADDRESS),
    ("upload://../default/x.onnx", MALFORMED),
];

const MORE: [(&str, &str); 14] = [
    ("ftp://example.com/x.onnx", SCHEME),
    ("gopher://127.0.0.1:70/x", SCHEME),
    ("dict://127.0.0.1:11211/stats", SCHEME),
    ("ldap://127.0.0.1/x", SCHEME),
    ("jar:https://example.com!/x", SCHEME),
    ("data:application/octet-stream;base64,AAAA", SCHEME),
    ("javascript:alert(1)", SCHEME),
    ("ssh://example.com/x", SCHEME),
    ("\\\\host\\share\\x.onnx", MALFORMED),
    ("C:\\models\\x.onnx", SCHEME),
    ("sqlite:///data/ptqd.sqlite", SCHEME),
    ("postgres://localhost/x", SCHEME),
    ("https://example.com/../../etc/", MALFORMED),
    ("https://exa mple.com/x.onnx", MALFORMED),
];

#[test]
fn uris_that_lead_elsewhere_are_refused_by_name() {
    let server = Server::start_with(|config| {
        config.worker.storage.allow_sources = vec!["s3://models/".to_owned()];
        config.worker.storage.file_roots = vec!["/nonexistent-root".into()];
    });
    for (uri, code) in URIS.into_iter().chain(MORE) {
        let job = int8(uri).to_string();
        let (status, answer) = server.client.post("/v1/jobs?validate_only=true", "application/json", job.as_bytes());
        assert_eq!(status, 422, "{uri}: {answer:#}");
        let error = &answer["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/model/uri"), &json!("invalid_uri")), "{uri}");
        assert!(error["message"].as_str().unwrap().contains(&format!("({code})")), "{uri}: {error:#}");
        assert!(error["hint"].is_string(), "{uri}: {error:#}");
        let told = answer.to_string();
        assert!(!told.contains("secret") && !told.contains("user:pw"), "{told}");
    }
}

#[test]
fn files_outside_the_open_folders_are_refused_without_saying_whether_they_exist() {
    let folder = tempfile::tempdir().unwrap();
    let (open, closed) = (folder.path().join("open"), folder.path().join("closed"));
    for dir in [&open, &closed] {
        fs::create_dir(dir).unwrap();
        fs::copy(fixture("vit.safetensors"), dir.join("m.safetensors")).unwrap();
    }
    symlink(&closed, open.join("link")).unwrap();
    symlink(closed.join("m.safetensors"), open.join("link.safetensors")).unwrap();
    let server = Server::start_with(|config| config.worker.storage.file_roots = vec![open.clone()]);
    let (open, closed) = (open.display(), closed.display());
    for path in [
        format!("{closed}/m.safetensors"),
        format!("{closed}/missing"),
        format!("{open}/../closed/m.safetensors"),
        format!("{open}/%2e%2e/closed/m.safetensors"),
        format!("{open}/..%2fclosed/m.safetensors"),
        format!("{open}/link/m.safetensors"),
        format!("{open}/link/missing"),
        format!("{open}/link.safetensors"),
        "/proc/self/environ".to_owned(),
        "/dev/zero".to_owned(),
        "/".to_owned(),
    ] {
        // By its text alone at the door, whether it is there or not; by its links in the worker.
        let job = int8(&format!("file://{path}"));
        let linked = path.starts_with(&format!("{open}/link"));
        if linked {
            let failed = server.client.wait(&server.client.submit(&job));
            assert_eq!(failed["error"]["code"], "uri_not_allowed", "{path}: {:#}", failed["error"]);
        } else {
            let refused = server.client.send("POST", "/v1/jobs", &[], Some(&job));
            assert_eq!(refused.status, 422, "{path}: {:#}", refused.json());
            let error = refused.json()["errors"][0].clone();
            assert_eq!((&error["pointer"], &error["code"]), (&json!("/model/uri"), &json!("invalid_uri")), "{path}");
            assert!(error["message"].as_str().unwrap().contains("uri_not_allowed"), "{path}: {error:#}");
        }
    }
    let job = server.client.wait(&server.client.submit(&int8(&format!("file://{open}/m.safetensors"))));
    assert_eq!(job["status"], "succeeded");
}

/// Where the weights of a graph may not be.
const LOCATIONS: [&str; 16] = [
    "/etc/passwd",
    "../secret.bin",
    "../../../../etc/passwd",
    "a/../../secret.bin",
    "./../secret.bin",
    "..",
    "",
    "/",
    "//etc/passwd",
    "a/../../../x",
    "..\\secret.bin",
    "C:\\secret.bin",
    "\\\\host\\share",
    "link.bin",
    "linked/secret.bin",
    "missing.bin",
];

#[test]
fn weights_outside_a_models_folder_are_refused_by_name() {
    let (cloud, folder) = (Cloud::s3s(), tempfile::tempdir().unwrap());
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::write(folder.path().join("secret.bin"), [0; 64]).unwrap();
    symlink(folder.path().join("secret.bin"), models.join("link.bin")).unwrap();
    symlink(folder.path(), models.join("linked")).unwrap();
    let list = folder.path().join("locations.json");
    fs::write(&list, json!(LOCATIONS).to_string()).unwrap();
    python("hostile_graphs.py", &[&list, &models]);
    // In the bucket there is something where each of them leads.
    cloud.put("secret.bin", vec![0; 64]);
    let server = serve(cloud.program("serve", &folder.path().join("data"), None));
    for (n, location) in LOCATIONS.into_iter().enumerate() {
        let bytes = fs::read(models.join(format!("{n}.onnx"))).unwrap();
        cloud.put(&format!("models/{n}.onnx"), bytes);
        for model in [crate::support::uri(&models.join(format!("{n}.onnx"))), cloud.uri(&format!("models/{n}.onnx"))] {
            let failed = server.client.wait(&server.client.submit(&int8(&model)));
            let code = failed["error"]["code"].as_str().unwrap_or_default();
            assert!(["external_data_invalid", "input_not_found"].contains(&code), "{model} {location}: {failed:#}");
        }
    }
}

#[test]
fn a_name_of_a_model_is_no_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    python("foreign_names.py", &[folder.path()]);
    for format in ["json", "text"] {
        let mut program = program("serve", &folder.path().join(format), None);
        program.env("PTQD_LOG", "info").args(["--log-format", format]);
        let server = serve(program);
        let uri = |name: &str| crate::support::uri(&folder.path().join(name));
        let int8 = json!({"dtype": "int8"});
        let job = json!({"model": {"uri": uri("forged.onnx")}, "calibration": {"uri": uri("samples.npz")},
            "quantize": {"backend": "modelopt", "layers": [{"module_name": "m", "weights": int8, "activations": int8}]}});
        let failed = server.client.wait(&server.client.submit(&job));
        assert_eq!(failed["error"]["code"], "model_run_failed", "{failed:#}");
        let log = server.log.lock().unwrap().clone();
        assert!(log.contains("onnxruntime") && log.contains("Gather"), "the engine logs through us: {log}");
        assert!(!log.lines().any(|line| line.starts_with("{\"level\":\"ERROR\",\"message\":\"forged\"")), "{log}");
        if format == "json" {
            for line in log.lines().filter(|line| !line.starts_with("ptqd: ")) {
                let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
                assert_ne!(event["message"], "forged");
            }
        }
    }
}

#[test]
fn functions_and_sparse_tensors_are_looked_at_like_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::write(folder.path().join("secret.bin"), [0; 64]).unwrap();
    python("foreign_names.py", &[&models]);
    let server = Server::start();
    let refused = [
        ("nested.onnx", "model_invalid"),
        ("function.onnx", "external_data_invalid"),
        ("sparse.onnx", "external_data_invalid"),
    ];
    for (name, code) in refused {
        let failed = server.client.wait(&server.client.submit(&int8(&crate::support::uri(&models.join(name)))));
        assert_eq!(failed["error"]["code"], code, "{name}: {failed:#}");
    }
}

#[test]
fn names_of_files_that_lead_elsewhere_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["../x.json", "a/../../x", "/etc/x", "a\\b", "..", "a//b", "x\u{7f}", ".", "\u{0}"];
    // A hub that lists such files, and an index that refers to them.
    for (n, name) in names.into_iter().enumerate() {
        let listing = json!({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [
            {"rfilename": "config.json", "size": 2}, {"rfilename": name, "size": 2}]});
        let index = json!({"weight_map": {"w": name}}).to_string();
        let url = serve_router(
            Router::new()
                .route("/api/{*rest}", get(move || async move { Json(listing) }))
                .route("/index/model.safetensors.index.json", get(move || async move { index }))
                .fallback(any(|| async { "{}" })),
        );
        let mut program = program("serve", &folder.path().join(format!("data{n}")), None);
        program.env("HF_ENDPOINT", &url).arg("--sources-private");
        let server = serve(program);
        let data = json!({"model": {"uri": crate::support::uri(&fixture("convnet.onnx"))},
            "calibration": {"uri": "hf://datasets/owner/name"}, "max_attempts": 1,
            "quantize": {"backend": "modelopt", "mode": "static_ptq", "layers": [
                {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]}});
        let failed = server.client.wait(&server.client.submit(&data));
        assert_eq!(failed["error"]["code"], "path_not_allowed", "{name:?}: {failed:#}");
        let index = int8(&format!("{url}/index/model.safetensors.index.json"));
        let failed = server.client.wait(&server.client.submit(&index));
        let code = failed["error"]["code"].as_str().unwrap();
        assert!(["checkpoint_index_invalid", "path_not_allowed"].contains(&code), "{name:?}: {:#}", failed["error"]);
    }
}

#[test]
fn nodes_without_inputs_or_outputs_are_named_and_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    python("make_graphs.py", &[folder.path(), &fixture("convnet.onnx")]);
    let spec = folder.path().join("spec.json");
    fs::write(&spec, r#"{"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}], "backend_kwargs": {}}"#)
        .unwrap();
    for op in ["MaxPool", "BatchNormalization"] {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_ptqd"))
            .args(["quantize", "--spec"])
            .arg(&spec)
            .arg("--model")
            .arg(folder.path().join(format!("bare-{op}.onnx")))
            .arg("--out")
            .arg(folder.path().join(op))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(told.contains("model_invalid") && told.contains(&format!("bare {op}")), "{told}");
    }
}
