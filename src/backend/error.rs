//! What can go wrong in a backend.

use std::{io, path::PathBuf};

use crate::{
    calibration::RecordError,
    control::{Cancelled, OverBudget},
    dataset::DatasetError,
    engine::EngineError,
    fault::{Explanation, Fault, FaultCode},
    model::{onnx::OnnxError, safetensors::SafetensorsError, torch::TorchError},
    quant::QuantError,
};

/// What can go wrong in a backend.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum BackendError {
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The `calibration.json` of an earlier job.
    #[error("{path} cannot be used for calibration", path = path.display())]
    Calibration {
        path: PathBuf,
        #[source]
        source: RecordError,
    },
    /// A weight holds values that cannot be quantized.
    #[error("weight `{tensor}` cannot be quantized")]
    Weight {
        tensor: String,
        #[source]
        source: QuantError,
    },
    /// The model's configuration cannot be read.
    #[error("{path} cannot be used: {reason}", path = path.display())]
    Config { path: PathBuf, reason: String },
    /// The model's configuration says that it is quantized.
    #[error("{path} has a `quantization_config`: the model is quantized already", path = path.display())]
    AlreadyQuantized { path: PathBuf },
    /// Buffers would go beyond what the job may hold.
    #[error(transparent)]
    Memory(#[from] OverBudget),
    /// Running the model would take more memory than allowed, even one sample at a time.
    #[error("running the model is predicted to take {predicted} bytes, and {limit} are allowed")]
    EngineMemory { predicted: u64, limit: u64 },
    /// A file cannot be copied or written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The canceller was used.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Fault for BackendError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            BackendError::Safetensors(error) => Explanation::Inner(error),
            BackendError::Torch(error) => Explanation::Inner(error),
            BackendError::Onnx(error) => Explanation::Inner(error),
            BackendError::Dataset(error) => Explanation::Inner(error),
            BackendError::Engine(error) => Explanation::Inner(error),
            BackendError::Calibration { .. } => {
                CalibrationRecordInvalid.hint("give the calibration data, or the file as ptqd wrote it")
            }
            BackendError::Weight { tensor, source } => {
                let not_finite = matches!(source, QuantError::NotFinite { .. });
                let code = if not_finite { WeightNotFinite } else { WeightUnquantizable };
                code.hint(format!("repair the weight, or leave it as it is with `skip_names: [\"{tensor}\"]`"))
            }
            BackendError::Config { .. } => ModelConfigInvalid.plain(),
            BackendError::AlreadyQuantized { .. } => {
                ModelAlreadyQuantized.hint("quantize the model that it was made from")
            }
            BackendError::Memory(_) => MemoryBudgetExceeded.hint("raise the memory budget of the worker"),
            BackendError::EngineMemory { .. } => MemoryInsufficient
                .hint("run it where more memory is free, or raise --engine-memory-mib if more may be used"),
            BackendError::Write { .. } => ArtifactUnwritable.hint("is the disk full?"),
            BackendError::Cancelled(_) => Cancelled.plain(),
        }
    }
}
