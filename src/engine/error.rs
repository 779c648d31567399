//! What can go wrong with the engine.

use std::path::PathBuf;

use crate::{
    dataset::DatasetError,
    fault::{Fault, FaultKind},
};

/// What can go wrong with the engine, or between a model and its data.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library is not there or is not one that fits.
    #[error("ONNX Runtime cannot be loaded from {library}: {reason}", library = library.display())]
    Library {
        /// Where it was looked for.
        library: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The engine does not take the model.
    #[error("ONNX Runtime refuses the model: {reason}")]
    Load {
        /// What the engine says.
        reason: String,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A forward pass failed.
    #[error("the model fails on the data: {reason}")]
    Run {
        /// What the engine says.
        reason: String,
    },
    /// The data has no array for an input.
    #[error("the model's input `{input}` is not in the data, which has {available:?}")]
    MissingInput {
        /// The input.
        input: String,
        /// Arrays of the data.
        available: Vec<String>,
    },
    /// An array's shape does not fit its input.
    #[error("array `{input}` has samples of shape {found:?}, the model takes {expected}")]
    WrongShape {
        /// The input.
        input: String,
        /// The array's shape without the sample axis.
        found: Vec<usize>,
        /// The input's shape without the batch axis, unknown dimensions as `?`.
        expected: String,
    },
    /// An array's element type does not fit its input.
    #[error("array `{input}` holds {found}, the model takes {expected}")]
    WrongType {
        /// The input.
        input: String,
        /// The array's kind.
        found: &'static str,
        /// The input's type.
        expected: String,
    },
    /// The model's batch dimension is fixed and there are fewer samples.
    #[error("the model takes batches of {batch}, the data has {samples} samples")]
    TooFewSamples {
        /// The fixed batch.
        batch: usize,
        /// Samples there are.
        samples: usize,
    },
    /// An input that this version cannot feed.
    #[error("the model's input `{input}` is of type {found}, which cannot be fed from data files")]
    InputUnsupported {
        /// The input.
        input: String,
        /// Its type.
        found: String,
    },
}

impl Fault for EngineError {
    fn code(&self) -> &'static str {
        match self {
            EngineError::Library { .. } => "engine_unavailable",
            EngineError::Dataset(e) => e.code(),
            EngineError::Load { .. } => "model_rejected",
            EngineError::Run { .. } => "model_run_failed",
            EngineError::MissingInput { .. } => "dataset_input_missing",
            EngineError::WrongShape { .. } => "dataset_shape_mismatch",
            EngineError::WrongType { .. } => "dataset_type_mismatch",
            EngineError::TooFewSamples { .. } => "dataset_too_small",
            EngineError::InputUnsupported { .. } => "model_input_unsupported",
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            EngineError::Library { .. } => FaultKind::Environment,
            EngineError::Dataset(e) => e.kind(),
            EngineError::InputUnsupported { .. } => FaultKind::Unsupported,
            _ => FaultKind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            EngineError::Library { .. } => {
                "set ORT_DYLIB_PATH to libonnxruntime.so of version 1.31 or later; `make setup` fetches one".to_owned()
            }
            EngineError::Dataset(e) => return e.hint(),
            EngineError::Load { .. } => "does the model pass onnx.checker and run in onnxruntime?".to_owned(),
            EngineError::Run { .. } => "run the same batch in onnxruntime to see whether the model takes it".to_owned(),
            EngineError::MissingInput { input, .. } => {
                format!("save it with numpy.savez(path, **{{{input:?}: array}})")
            }
            EngineError::WrongShape { .. } => "axis 0 of an array counts samples; is the layout NCHW?".to_owned(),
            EngineError::WrongType { expected, .. } => format!("convert the array with array.astype({expected:?})"),
            EngineError::TooFewSamples { .. } => "add samples, or export the model with a dynamic batch".to_owned(),
            EngineError::InputUnsupported { .. } => return None,
        };
        Some(hint)
    }
}
