//! Disks that run full: each on a small file system of its own, which only the program sees.

use std::{fs, path::Path, process::Command};

use axum::{Router, body::Body, routing::get};
use serde_json::{Value, json};

use crate::support::{Client, Cloud, fixture, in_shards, program, serve, serve_router, uri};

/// The program in a namespace where `small` is a file system of so many mebibytes.
fn confined(program: &Command, small: &Path, mebibytes: u32) -> Command {
    fs::create_dir_all(small).unwrap();
    let mount = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\" && exec \"$@\"");
    let mut confined = Command::new("unshare");
    confined.args(["--map-root-user", "--mount", "sh", "-c", &mount]).arg(small).arg(program.get_program());
    confined.args(program.get_args()).stderr(std::process::Stdio::piped());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    confined
}

fn int8(model: &str) -> Value {
    json!({"model": {"uri": model}, "max_attempts": 1,
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// A job fails for want of disk, in a phase; the next one, which is small, does not.
fn fails_and_goes_on(client: &Client, model: &str, phase: &str) {
    let failed = client.wait(&client.submit(&int8(model)));
    let error = &failed["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("disk_full"), &json!(true)), "{model}: {error:#}");
    assert_eq!(error["phase"], phase, "{error:#}");
    assert!(error["hint"].is_string());
    let fine = client.wait(&client.submit(&int8(&uri(&fixture("vit.safetensors")))));
    assert_eq!(fine["status"], "succeeded", "{:#}", fine["error"]);
    assert_eq!(client.send("GET", "/healthz", &[], None).status, 200);
}

#[test]
fn a_disk_too_small_for_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::s3s();
    // 48 MB in one file.
    let large = in_shards(folder.path(), 1, 6144).join("model-00001-of-00001.safetensors");
    cloud.put("large.safetensors", fs::read(&large).unwrap());
    let endless = get(|| async {
        let part = || Some((Ok::<_, std::io::Error>(vec![0_u8; 1 << 20]), ()));
        Body::from_stream(futures_util::stream::unfold((), move |()| async move { part() }))
    });
    let web = serve_router(Router::new().route("/endless.onnx", endless));
    let data = folder.path().join("data");
    let mut program = program("serve", &data, None);
    program.envs(cloud.env(&cloud.url)).args(["--sources-private", "--artifacts"]).arg(folder.path().join("artifacts"));
    let server = serve(confined(&program, &data, 40));
    // Known before anything is read; and noticed on the way, of what has no end.
    fails_and_goes_on(&server.client, &cloud.uri("large.safetensors"), "staging");
    fails_and_goes_on(&server.client, &format!("{web}/endless.onnx"), "staging");
}

#[test]
fn a_disk_too_small_for_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let large = in_shards(folder.path(), 2, 10_240);
    let data = folder.path().join("data");
    let mut program = program("serve", &data, None);
    program.arg("--artifacts").arg(folder.path().join("artifacts"));
    let server = serve(confined(&program, &data, 24));
    fails_and_goes_on(&server.client, &uri(&large), "quantizing");
}

#[test]
fn a_store_too_small_for_the_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let large = in_shards(folder.path(), 2, 10_240);
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    let mut program = program("serve", &data, None);
    program.arg("--artifacts").arg(&store);
    let server = serve(confined(&program, &store, 24));
    fails_and_goes_on(&server.client, &uri(&large), "publishing");
}
