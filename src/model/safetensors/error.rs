//! What can be wrong with a checkpoint.

use std::{io, path::PathBuf};

use crate::{
    fault::{Explanation, Fault, FaultCode, json_words},
    tensor::ShapeError,
};

/// What can be wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum SafetensorsError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The header is not that of a safetensors file, or does not agree with the file's size.
    #[error("{path} is not a whole safetensors file: {source}", path = path.display())]
    Header { path: PathBuf, source: HeaderError },
    /// The header can be read in more than one way.
    #[error("{path} has an ambiguous header: {reason}", path = path.display())]
    Ambiguous { path: PathBuf, reason: String },
    /// A tensor has an impossible shape.
    #[error("tensor `{tensor}` has an impossible shape")]
    Shape {
        tensor: String,
        #[source]
        source: ShapeError,
    },
    /// The index file is not JSON, or lacks its `weight_map`.
    #[error("{path} is not an index of shards: {reason}", path = path.display())]
    Index { path: PathBuf, reason: String },
    /// The index names a file outside its folder.
    #[error("the index names the shard `{shard}`, which is not a plain file name")]
    ShardName { shard: String },
    /// A tensor stands in two shards, or the index and the shards disagree.
    #[error("the index and the shards disagree on tensor `{tensor}`")]
    Disagree { tensor: String },
    /// There is no shard at all.
    #[error("{path} holds no .safetensors file", path = path.display())]
    NoShards { path: PathBuf },
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Its JSON is not JSON, or not that of a header.
    #[error("its header cannot be read: {0}")]
    Json(String),
    /// It does not agree with the file's size.
    #[error("{0}")]
    Size(safetensors::SafeTensorError),
}

impl From<safetensors::SafeTensorError> for HeaderError {
    fn from(error: safetensors::SafeTensorError) -> Self {
        match error {
            safetensors::SafeTensorError::InvalidHeaderDeserialization(error) => HeaderError::Json(json_words(&error)),
            other => HeaderError::Size(other),
        }
    }
}

impl Fault for SafetensorsError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            SafetensorsError::Read { .. } => ModelUnreadable.hint("is a shard missing?"),
            SafetensorsError::Write { .. } => ArtifactUnwritable.hint("is the disk full?"),
            SafetensorsError::Header { source: HeaderError::Json(_), .. } => {
                ModelCorrupt.hint("save the file again with the library safetensors")
            }
            SafetensorsError::Header { source: HeaderError::Size(_), .. } => {
                ModelCorrupt.hint("the file may be truncated: compare its size and digest with the source")
            }
            SafetensorsError::Ambiguous { .. } | SafetensorsError::Shape { .. } => ModelCorrupt.plain(),
            SafetensorsError::Index { .. } | SafetensorsError::ShardName { .. } | SafetensorsError::NoShards { .. } => {
                CheckpointIndexInvalid.plain()
            }
            SafetensorsError::Disagree { .. } => {
                CheckpointIndexInvalid.hint("write the checkpoint anew, or remove shards of an earlier one")
            }
        }
    }
}
