//! Checkpoints in the safetensors format: one file, or shards with an index, or a folder of them.

mod error;
mod read;
mod writer;

use std::path::Path;

pub use error::SafetensorsError;
pub use read::{INDEX_SUFFIX, header_end, open};
pub use writer::{OutTensor, ShardWriter};

use super::ModelFormat;

/// How safetensors checkpoints are recognised.
pub const FORMAT: ModelFormat = ModelFormat {
    name: "safetensors",
    described: "safetensors (a .safetensors file, a .safetensors.index.json, or a folder of shards)",
    recognise,
    companions: |path| Ok(read::shards(path)?),
};

/// How the name of a file of tensors ends.
pub const SUFFIX: &str = ".safetensors";

/// Other forms of the same weights that lie in some models' folders.
const OTHER_WEIGHTS: [&str; 8] = [".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".onnx_data"];

/// Whether a file of a checkpoint's folder is another form of its weights, which is not carried over.
pub fn is_other_weights(name: &str) -> bool {
    OTHER_WEIGHTS.iter().any(|suffix| name.ends_with(suffix))
}

fn recognise(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX));
    }
    name.ends_with(SUFFIX) || name.ends_with(INDEX_SUFFIX)
}
