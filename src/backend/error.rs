//! What can go wrong in a backend.

use std::{io, path::PathBuf};

use crate::{
    control::Cancelled,
    dataset::DatasetError,
    engine::EngineError,
    fault::{Fault, FaultKind},
    model::{onnx::OnnxError, safetensors::SafetensorsError},
    quant::QuantError,
};

/// What can go wrong in a backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The checkpoint.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The ONNX model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The data.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The ONNX engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A weight.
    #[error("weight `{tensor}` cannot be quantized")]
    Weight {
        /// Its name.
        tensor: String,
        /// Why.
        #[source]
        source: QuantError,
    },
    /// A file cannot be copied or written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Fault for BackendError {
    fn code(&self) -> &'static str {
        match self {
            BackendError::Safetensors(e) => e.code(),
            BackendError::Onnx(e) => e.code(),
            BackendError::Dataset(e) => e.code(),
            BackendError::Engine(e) => e.code(),
            BackendError::Weight { source: QuantError::NotFinite { .. }, .. } => "weight_not_finite",
            BackendError::Weight { .. } => "weight_unquantizable",
            BackendError::Write { .. } => "artifact_unwritable",
            BackendError::Cancelled(_) => "cancelled",
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            BackendError::Safetensors(e) => e.kind(),
            BackendError::Onnx(e) => e.kind(),
            BackendError::Dataset(e) => e.kind(),
            BackendError::Engine(e) => e.kind(),
            BackendError::Weight { .. } => FaultKind::Invalid,
            BackendError::Write { .. } => FaultKind::Environment,
            BackendError::Cancelled(_) => FaultKind::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BackendError::Safetensors(e) => e.hint(),
            BackendError::Onnx(e) => e.hint(),
            BackendError::Dataset(e) => e.hint(),
            BackendError::Engine(e) => e.hint(),
            BackendError::Weight { tensor, .. } => {
                Some(format!("repair the weight, or leave it as it is with `skip_names: [\"{tensor}\"]`"))
            }
            BackendError::Write { .. } => Some("is the disk full?".to_owned()),
            BackendError::Cancelled(_) => None,
        }
    }
}
