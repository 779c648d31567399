//! What can go wrong in a backend.

use std::{io, path::PathBuf};

use crate::{
    calibration::RecordError,
    control::{Cancelled, OverBudget},
    dataset::DatasetError,
    engine::EngineError,
    fault::{Fault, FaultKind},
    model::{onnx::OnnxError, safetensors::SafetensorsError, torch::TorchError},
    quant::QuantError,
};

/// What can go wrong in a backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The checkpoint.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The PyTorch file.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The ONNX model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The data.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The ONNX engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The `calibration.json` of an earlier job.
    #[error("{path} cannot be used for calibration", path = path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// A weight.
    #[error("weight `{tensor}` cannot be quantized")]
    Weight {
        /// Its name.
        tensor: String,
        /// Why.
        #[source]
        source: QuantError,
    },
    /// The model's configuration cannot be read.
    #[error("{path} cannot be used: {reason}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The model's configuration says that it is quantized.
    #[error("{path} has a `quantization_config`: the model is quantized already", path = path.display())]
    AlreadyQuantized {
        /// The file.
        path: PathBuf,
    },
    /// Buffers would go beyond what the job may hold.
    #[error(transparent)]
    Memory(#[from] OverBudget),
    /// Running the model would take more memory than allowed, even one sample at a time.
    #[error("running the model is predicted to take {predicted} bytes, and {limit} are allowed")]
    EngineMemory {
        /// Bytes predicted.
        predicted: u64,
        /// Bytes allowed.
        limit: u64,
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
            BackendError::Torch(e) => e.code(),
            BackendError::Onnx(e) => e.code(),
            BackendError::Dataset(e) => e.code(),
            BackendError::Engine(e) => e.code(),
            BackendError::Calibration { .. } => "calibration_record_invalid",
            BackendError::Weight { source: QuantError::NotFinite { .. }, .. } => "weight_not_finite",
            BackendError::Weight { .. } => "weight_unquantizable",
            BackendError::Config { .. } => "model_config_invalid",
            BackendError::AlreadyQuantized { .. } => "model_already_quantized",
            BackendError::Memory(_) => "memory_budget_exceeded",
            BackendError::EngineMemory { .. } => "memory_insufficient",
            BackendError::Write { .. } => "artifact_unwritable",
            BackendError::Cancelled(_) => "cancelled",
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            BackendError::Safetensors(e) => e.kind(),
            BackendError::Torch(e) => e.kind(),
            BackendError::Onnx(e) => e.kind(),
            BackendError::Dataset(e) => e.kind(),
            BackendError::Engine(e) => e.kind(),
            BackendError::Calibration { .. }
            | BackendError::Weight { .. }
            | BackendError::Config { .. }
            | BackendError::AlreadyQuantized { .. } => FaultKind::Invalid,
            BackendError::Memory(_) => FaultKind::Unsupported,
            BackendError::EngineMemory { .. } | BackendError::Write { .. } => FaultKind::Environment,
            BackendError::Cancelled(_) => FaultKind::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BackendError::Safetensors(e) => e.hint(),
            BackendError::Torch(e) => e.hint(),
            BackendError::Onnx(e) => e.hint(),
            BackendError::Dataset(e) => e.hint(),
            BackendError::Engine(e) => e.hint(),
            BackendError::Weight { tensor, .. } => {
                Some(format!("repair the weight, or leave it as it is with `skip_names: [\"{tensor}\"]`"))
            }
            BackendError::Calibration { .. } => {
                Some("give the calibration data, or the file as ptqd wrote it".to_owned())
            }
            BackendError::Config { .. } => None,
            BackendError::AlreadyQuantized { .. } => Some("quantize the model that it was made from".to_owned()),
            BackendError::Memory(_) => Some("raise the memory budget of the worker".to_owned()),
            BackendError::EngineMemory { .. } => {
                Some("run it where more memory is free, or raise --engine-memory-mib if more may be used".to_owned())
            }
            BackendError::Write { .. } => Some("is the disk full?".to_owned()),
            BackendError::Cancelled(_) => None,
        }
    }
}
