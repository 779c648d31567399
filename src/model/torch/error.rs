//! What can be wrong with a PyTorch file.

use std::{io, path::PathBuf};

use super::pickle::PickleError;
use crate::fault::{Explanation, Fault, FaultCode};

/// What can be wrong with a PyTorch file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum TorchError {
    /// The file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is not a zip archive as `torch.save` writes it.
    #[error("{path} is not a file of torch.save: {reason}", path = path.display())]
    Archive { path: PathBuf, reason: String },
    /// The pickle inside cannot be read, or asks for what is not allowed.
    #[error("{path} cannot be read as a state dict", path = path.display())]
    Pickle {
        path: PathBuf,
        #[source]
        source: PickleError,
    },
    /// A tensor does not fit the storage it names.
    #[error("tensor `{tensor}` does not fit its storage `{storage}`")]
    Storage { tensor: String, storage: String },
    /// There is no tensor at all, or too much besides.
    #[error("{path} holds {what}", path = path.display())]
    Content { path: PathBuf, what: &'static str },
}

impl Fault for TorchError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            TorchError::Read { .. } => ModelUnreadable.plain(),
            TorchError::Archive { .. } => ModelCorrupt.hint(
                "save it again with torch.save of PyTorch 1.6 or later; files of before that are not zip archives",
            ),
            TorchError::Pickle { source, .. } if source.is_refusal() => PickleRefused.hint(
                "only tensors in plain containers are read, since anything else would run code: save \
                 `model.state_dict()`, or use safetensors",
            ),
            TorchError::Pickle { .. } | TorchError::Storage { .. } => {
                ModelCorrupt.hint("the file may be truncated: compare its size and digest with the source")
            }
            TorchError::Content { .. } => StateDictExpected.hint("save `model.state_dict()`"),
        }
    }
}
