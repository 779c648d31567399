//! Model files ⇄ memory.
//!
//! [`FORMATS`] lists what can be read; a format is one folder. Knows nothing of rules or backends. Nothing that a file
//! controls is indexed: what may be missing is asked for.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::fault::{Explanation, Fault, FaultCode};

pub mod checkpoint;
pub mod onnx;
pub mod safetensors;
pub mod torch;

/// A kind of model file.
#[derive(Debug)]
pub struct ModelFormat {
    /// The name in errors and the backends' catalogue.
    pub name: &'static str,
    /// What such a model looks like on disk, for people.
    pub described: &'static str,
    /// Whether the file or folder at this path looks like one, by name and first bytes.
    pub recognise: fn(&Path) -> bool,
    /// The files beside a model's file that it refers to, by their names relative to its folder. They need not be there;
    /// none leads out of the folder.
    pub companions: fn(&Path) -> Result<Vec<String>, CompanionsError>,
}

/// Every format, sorted by name.
pub static FORMATS: [ModelFormat; 3] = [onnx::FORMAT, safetensors::FORMAT, torch::FORMAT];

/// Why a path is not a model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum DetectError {
    /// There is nothing at the path, or it cannot be read.
    #[error("cannot read the model {path}", path = path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No format recognises it.
    #[error("{path} is not a model of a known kind", path = path.display())]
    Unknown { path: PathBuf },
}

impl Fault for DetectError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            DetectError::Unreadable { .. } => ModelUnreadable.plain(),
            DetectError::Unknown { .. } => {
                let known: Vec<&str> = FORMATS.iter().map(|format| format.described).collect();
                ModelFormatUnknown.hint(format!("known kinds: {}", known.join("; ")))
            }
        }
    }
}

/// Why the files that a model refers to cannot be told.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum CompanionsError {
    /// Of an ONNX model.
    Onnx(#[from] onnx::OnnxError),
    /// Of an index of shards.
    Safetensors(#[from] safetensors::SafetensorsError),
}

impl Fault for CompanionsError {
    fn explain(&self) -> Explanation<'_> {
        match self {
            CompanionsError::Onnx(error) => Explanation::Inner(error),
            CompanionsError::Safetensors(error) => Explanation::Inner(error),
        }
    }
}

/// The files beside a model's file that it refers to; none of what is no model.
pub fn companions(path: &Path) -> Result<Vec<String>, CompanionsError> {
    let format = FORMATS.iter().find(|format| (format.recognise)(path));
    format.map_or(Ok(Vec::new()), |format| (format.companions)(path))
}

/// The format of the model at `path`.
pub fn detect(path: &Path) -> Result<&'static ModelFormat, DetectError> {
    std::fs::metadata(path).map_err(|source| DetectError::Unreadable { path: path.to_owned(), source })?;
    FORMATS.iter().find(|format| (format.recognise)(path)).ok_or_else(|| DetectError::Unknown { path: path.to_owned() })
}
