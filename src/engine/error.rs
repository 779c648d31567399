//! What can go wrong with the engine.

use std::path::PathBuf;

use crate::{
    dataset::DatasetError,
    fault::{Explanation, Fault, FaultCode},
};

/// What can go wrong with the engine, or between a model and its data.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
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
    /// The engine has no implementation of an operator, or does not know this version of ONNX.
    #[error("ONNX Runtime cannot run the model: {reason}")]
    Unsupported {
        /// What the engine says.
        reason: String,
    },
    /// The machine, or the limit that this process has, is out of memory.
    #[error("ONNX Runtime is out of memory: {reason}")]
    OutOfMemory {
        /// What the engine says.
        reason: String,
    },
    /// The engine, or an operator of ours in it, fails for no reason that is in the model or the data.
    #[error("ONNX Runtime fails: {reason}")]
    Internal {
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
        input: String,
        /// Arrays of the data.
        available: Vec<String>,
    },
    /// An array's shape does not fit its input.
    #[error("array `{input}` has samples of shape {found:?}, the model takes {expected}")]
    WrongShape {
        input: String,
        /// The array's shape without the sample axis.
        found: Vec<usize>,
        /// The input's shape without the batch axis, unknown dimensions as `?`.
        expected: String,
    },
    /// An array's element type does not fit its input.
    #[error("array `{input}` holds {found}, the model takes {expected}")]
    WrongType { input: String, found: &'static str, expected: String },
    /// The model's batch dimension is fixed and there are fewer samples.
    #[error("the model takes batches of {batch}, the data has {samples} samples")]
    TooFewSamples { batch: usize, samples: usize },
    /// An input that this version cannot feed.
    #[error("the model's input `{input}` is of type {found}, which cannot be fed from data files")]
    InputUnsupported { input: String, found: String },
}

impl EngineError {
    /// What the engine says where it does not take a model as it is, which another form of the model may mend.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            EngineError::Load { reason } | EngineError::Unsupported { reason } => Some(reason),
            _ => None,
        }
    }

    /// What the engine says where loading or running a model failed, for whatever reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            EngineError::Run { reason } | EngineError::OutOfMemory { reason } | EngineError::Internal { reason } => {
                Some(reason)
            }
            _ => self.refusal(),
        }
    }
}

impl Fault for EngineError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            EngineError::Library { .. } => EngineUnavailable
                .hint("set ORT_DYLIB_PATH to libonnxruntime.so of version 1.31 or later; `make setup` fetches one"),
            EngineError::Dataset(error) => Explanation::Inner(error),
            EngineError::Load { .. } => ModelRejected.hint("does the model pass onnx.checker and run in onnxruntime?"),
            EngineError::Unsupported { .. } => OperatorUnsupported
                .hint("export the model with operators and an opset that this ONNX Runtime has on a CPU"),
            EngineError::OutOfMemory { .. } => {
                EngineOutOfMemory.hint("use smaller batches, or a worker with more memory")
            }
            EngineError::Internal { .. } => InternalError.plain(),
            EngineError::Run { .. } => {
                ModelRunFailed.hint("run the same batch in onnxruntime to see whether the model takes it")
            }
            EngineError::MissingInput { input, .. } => {
                DatasetInputMissing.hint(format!("save it with numpy.savez(path, **{{{input:?}: array}})"))
            }
            EngineError::WrongShape { .. } => {
                DatasetShapeMismatch.hint("axis 0 of an array counts samples; is the layout NCHW?")
            }
            EngineError::WrongType { expected, .. } => {
                DatasetTypeMismatch.hint(format!("convert the array with array.astype({expected:?})"))
            }
            EngineError::TooFewSamples { .. } => {
                DatasetTooSmall.hint("add samples, or export the model with a dynamic batch")
            }
            EngineError::InputUnsupported { .. } => ModelInputUnsupported.plain(),
        }
    }
}
