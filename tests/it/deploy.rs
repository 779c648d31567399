//! The Dockerfile, the Compose file and the manifests for Kubernetes, as far as they can be judged without running them.

use std::{fs, path::Path, process::Command};

use crate::support::{Server, python};

#[test]
fn the_packaging_is_valid_and_agrees_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings");
    let example = Command::new(env!("CARGO_BIN_EXE_ptqd")).args(["config", "example"]).output().unwrap();
    fs::write(&settings, example.stdout).unwrap();
    python("check_deploy.py", &[Path::new(env!("CARGO_MANIFEST_DIR")), &settings]);
}

#[test]
fn the_page_of_errors_is_what_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_ptqd")).arg("errors").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    assert!(written.as_bytes() == output.stdout, "docs/errors.md is stale: `make openapi` writes it anew");
}

#[test]
fn a_server_is_asked_for_its_health() {
    let server = Server::start();
    let ask = |address: &str| {
        let mut ptqd = Command::new(env!("CARGO_BIN_EXE_ptqd"));
        ptqd.args(["health", "--listen", address]).status().unwrap().success()
    };
    let address = server.client.url.trim_start_matches("http://").to_owned();
    assert!(ask(&address));
    assert!(ask(&address.replace("127.0.0.1", "0.0.0.0")));
    drop(server);
    assert!(!ask(&address));
}

#[test]
fn the_version_tells_commit_and_engine() {
    let version = |flag| {
        let output = Command::new(env!("CARGO_BIN_EXE_ptqd")).arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let short = version("-V");
    assert!(short.starts_with(concat!("ptqd ", env!("CARGO_PKG_VERSION"), " (commit ")), "{short}");
    let long = version("--version");
    assert!(long.starts_with(short.trim()), "{long}");
    let engine = long.lines().find_map(|line| line.strip_prefix("ONNX Runtime: ")).expect("the engine");
    assert!(engine.contains("libonnxruntime.so.1."), "{long}");
}
