//! Turns `src/model/onnx/onnx.proto` into Rust, with no compiler of protobuf's own needed, and notes the commit.

use std::{env, fs, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    note_commit();
    const PROTO: &str = "src/model/onnx/onnx.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("onnx.descriptors");
    let set = protox::compile([PROTO], ["src/model/onnx"])?;
    fs::write(&descriptors, protox::prost::Message::encode_to_vec(&set))?;
    buffa_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&["onnx.proto"])
        .generate_views(false)
        .use_bytes_type()
        .compile()
}

/// Tells the program which commit it is: what PTQD_COMMIT says, or git, of a release. Not of other builds, which would be made
/// again after every commit.
fn note_commit() {
    println!("cargo:rerun-if-env-changed=PTQD_COMMIT");
    let given = env::var("PTQD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| {
        if env::var("PROFILE").ok()? != "release" || !PathBuf::from(".git").exists() {
            return None;
        }
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
        let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    });
    println!("cargo:rustc-env=PTQD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}
