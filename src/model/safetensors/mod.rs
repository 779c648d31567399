//! Checkpoints in the safetensors format: one file, or shards with an index, or a folder of them.

mod error;
mod read;
mod writer;

use std::path::Path;

pub use error::SafetensorsError;
pub use read::{INDEX_SUFFIX, open};
pub use writer::{OutTensor, ShardWriter};

use super::ModelFormat;

/// How safetensors checkpoints are recognised.
pub const FORMAT: ModelFormat = ModelFormat {
    name: "safetensors",
    described: "safetensors (a .safetensors file, a .safetensors.index.json, or a folder of shards)",
    recognise,
};

fn recognise(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".safetensors"));
    }
    name.ends_with(".safetensors") || name.ends_with(INDEX_SUFFIX)
}
