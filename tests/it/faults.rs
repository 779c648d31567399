//! Bad inputs: each a failed job with a clear code and hint, and a server that goes on.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Server, fixture, npz, program, serve, uri};

fn static_ptq(model: String, calibration: String) -> Value {
    let int8 = json!({"dtype": "int8"});
    json!({"model": {"uri": model}, "calibration": {"uri": calibration}, "max_attempts": 1,
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": int8, "activations": int8}]}})
}

#[test]
fn bad_inputs_fail_with_a_cause_and_the_server_goes_on() {
    let server = Server::start();
    let folder = server.folder.path();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        uri(&folder.join(name))
    };
    let model = fs::read(fixture("convnet.onnx")).unwrap();
    let checkpoint = fs::read(fixture("vit.safetensors")).unwrap();
    let (good_model, good_data) = (uri(&fixture("convnet.onnx")), uri(&fixture("calibration.npz")));
    let mut image = vec![0.5f32; 2 * 64];
    let two_good = npz("input", &[2, 1, 8, 8], &image);
    image[70] = f32::NAN;
    let weights = |model: String| {
        json!({"model": {"uri": model}, "quantize": {"backend": "torchao",
            "layers": [{"module_name": "Linear", "weights": {"dtype": "int8"}}]}})
    };
    let missing = uri(&folder.join("not-there.onnx"));
    let mut typo = static_ptq(good_model.clone(), good_data.clone());
    typo["quantize"]["skip_names"] = json!(["block1.conv9"]);

    let cases = [
        (
            "a truncated model",
            static_ptq(file("cut.onnx", &model[..model.len() / 2]), good_data.clone()),
            "model_corrupt",
        ),
        ("a truncated checkpoint", weights(file("cut.safetensors", &checkpoint[..9_000])), "model_corrupt"),
        (
            "an image named as a model",
            static_ptq(file("x.onnx", b"\x89PNG\r\n\x1a\n"), good_data.clone()),
            "model_corrupt",
        ),
        ("an unknown kind of file", weights(file("x.bin", b"x")), "model_format_unknown"),
        (
            "a checkpoint for static PTQ",
            static_ptq(file("v.safetensors", &checkpoint), good_data.clone()),
            "invalid_job",
        ),
        (
            "NaN in the data",
            static_ptq(good_model.clone(), file("nan.npz", &npz("input", &[2, 1, 8, 8], &image))),
            "dataset_not_finite",
        ),
        (
            "a missing input",
            static_ptq(good_model.clone(), file("name.npz", &npz("image", &[2, 1, 8, 8], &image[..64].repeat(2)))),
            "dataset_input_missing",
        ),
        (
            "a wrong shape",
            static_ptq(good_model.clone(), file("shape.npz", &npz("input", &[2, 8, 8, 1], &image[..64].repeat(2)))),
            "dataset_shape_mismatch",
        ),
        ("truncated data", static_ptq(good_model.clone(), file("cut.npz", &two_good[..200])), "dataset_corrupt"),
        ("no data file at all", static_ptq(good_model.clone(), file("x.npz", b"")), "dataset_format_unknown"),
        ("an unreachable URI", static_ptq(missing, good_data.clone()), "input_not_found"),
        ("a pattern that matches nothing", typo, "invalid_job"),
    ];
    for (what, job, code) in cases {
        let failed = server.client.wait(&server.client.submit(&job));
        let error = &failed["error"];
        assert_eq!((&failed["status"], &error["code"]), (&json!("failed"), &json!(code)), "{what}: {error:#}");
        assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{what} has no hint: {error:#}");
        assert!(error["phase"].is_string() && error["retryable"] == false, "{what}: {error:#}");
        assert_eq!(failed["result"], Value::Null);
        if what.starts_with("a pattern") {
            assert_eq!(error["errors"][0]["pointer"], "/quantize/skip_names/0");
            assert!(error["errors"][0]["hint"].as_str().unwrap().contains("block1.conv"), "{error:#}");
        }
        if what.starts_with("a checkpoint") {
            assert!(error["errors"][0]["hint"].as_str().unwrap().contains("torchao"), "{error:#}");
        }
    }
    assert_eq!(server.client.json("/healthz")["status"], "ok");
    let fine = server
        .client
        .wait(&server.client.submit(&static_ptq(good_model, uri(&folder.join("name.npz")).replace("name", "fine"))));
    assert_eq!(fine["error"]["code"], "input_not_found");
    fs::write(folder.join("fine.npz"), two_good).unwrap();
    let fine = server
        .client
        .wait(&server.client.submit(&static_ptq(uri(&fixture("convnet.onnx")), uri(&folder.join("fine.npz")))));
    assert_eq!(fine["status"], "succeeded", "{:#}", fine["error"]);
}

/// In a process of its own: one process loads one library, which another test may have done.
#[test]
fn a_missing_engine_is_named_and_the_job_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = program("serve", &folder.path().join("data"), None);
    program.args(["--onnxruntime", "/nowhere/libonnxruntime.so"]);
    let server = serve(program);
    let mut job = static_ptq(uri(&fixture("convnet.onnx")), uri(&fixture("calibration.npz")));
    job["max_attempts"] = json!(2);
    let failed = server.client.wait(&server.client.submit(&job));
    let error = &failed["error"];
    assert_eq!((&failed["status"], &failed["attempt"]), (&json!("failed"), &json!(2)), "{error:#}");
    assert_eq!((&error["code"], &error["retryable"]), (&json!("engine_unavailable"), &json!(true)));
    assert!(error["hint"].as_str().unwrap().contains("ORT_DYLIB_PATH"), "{error:#}");
}

#[test]
fn a_dead_input_stays_native_with_its_reason() {
    let server = Server::start();
    let path = server.folder.path().join("zeros.npz");
    fs::write(&path, npz("input", &[2, 1, 8, 8], &[0.0; 128])).unwrap();
    let job = static_ptq(uri(&fixture("convnet.onnx")), uri(&path));
    let id = server.client.submit(&job);
    let done = server.client.wait(&id);
    assert_eq!(done["status"], "succeeded", "{:#}", done["error"]);
    let report = server.client.json(&format!("/v1/jobs/{id}/report"));
    assert_eq!(
        (&report["layers"][0]["decision"], &report["layers"][0]["reason"]),
        (&json!("native"), &json!("amax_zero"))
    );
    assert!(done["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "amax_zero"));
}

#[test]
fn files_outside_the_roots_are_refused() {
    let server = Server::start_with(|config| {
        config.worker.storage.file_roots = vec![config.worker.storage.data_dir.clone()];
    });
    let job = static_ptq("file:///etc/passwd".into(), "file:///etc/no-such-file".into());
    let refused = server.client.send("POST", "/v1/jobs", &[], Some(&job));
    assert_eq!(refused.status, 422, "{:#}", refused.json());
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/model/uri", "/calibration/uri"]);
    assert!(errors.iter().all(|error| error["message"].as_str().unwrap().contains("uri_not_allowed")), "{errors:#?}");
}

#[test]
fn a_job_that_takes_too_long_times_out() {
    let server = Server::start();
    // Enough samples to be computing when the limit comes.
    let path = server.folder.path().join("many.npz");
    let samples = 60_000;
    fs::write(&path, npz("input", &[samples, 1, 8, 8], &vec![0.5; samples * 64])).unwrap();
    let mut job = static_ptq(uri(&fixture("vit.onnx")), uri(&path));
    job["timeout_seconds"] = json!(1);
    job["calibration"]["batch_size"] = json!(1);
    let ended = server.client.wait(&server.client.submit(&job));
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("timed_out"), &json!("timed_out")));
}
