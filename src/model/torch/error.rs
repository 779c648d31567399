//! What can be wrong with a PyTorch file.

use std::{io, path::PathBuf};

use super::pickle::PickleError;
use crate::fault::{Fault, FaultKind};

/// What can be wrong with a PyTorch file.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a zip archive as `torch.save` writes it.
    #[error("{path} is not a file of torch.save: {reason}", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The pickle inside cannot be read, or asks for what is not allowed.
    #[error("{path} cannot be read as a state dict", path = path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PickleError,
    },
    /// A tensor does not fit the storage it names.
    #[error("tensor `{tensor}` does not fit its storage `{storage}`")]
    Storage {
        /// The tensor.
        tensor: String,
        /// The storage's name.
        storage: String,
    },
    /// There is no tensor at all, or too much besides.
    #[error("{path} holds {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
}

impl Fault for TorchError {
    fn code(&self) -> &'static str {
        match self {
            TorchError::Read { .. } => "model_unreadable",
            TorchError::Archive { .. } | TorchError::Storage { .. } => "model_corrupt",
            TorchError::Pickle { source, .. } if source.is_refusal() => "pickle_refused",
            TorchError::Pickle { .. } => "model_corrupt",
            TorchError::Content { .. } => "state_dict_expected",
        }
    }

    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            TorchError::Pickle { source, .. } if source.is_refusal() => {
                "only tensors in plain containers are read, since anything else would run code: save \
                 `model.state_dict()`, or use safetensors"
            }
            TorchError::Archive { .. } => {
                "save it again with torch.save of PyTorch 1.6 or later; files of before that are not zip archives"
            }
            TorchError::Pickle { .. } | TorchError::Storage { .. } => {
                "the file may be truncated: compare its size and digest with the source"
            }
            TorchError::Content { .. } => "save `model.state_dict()`",
            TorchError::Read { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
