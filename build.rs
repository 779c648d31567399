//! Turns `src/model/onnx/onnx.proto` into Rust, with no compiler of protobuf's own needed.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
