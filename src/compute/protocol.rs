//! What parent and child say to each other, each message a frame of JSON.

use serde::{Deserialize, Serialize};

use super::{
    limits::Confinement,
    request::{ComputeError, Output, Request},
};
use crate::{
    control::Notice,
    fault::{Fault, FaultCode, chain},
    pipeline::{PipelineError, ShardDone},
};

/// What a parent says. The first message is `Confine`, the second `Run`; what follows are answers, or `Stop`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToChild {
    /// What the child is to give up.
    Confine(Confinement),
    /// What it is to compute.
    Run(Box<Request>),
    /// It is to stop at its next checkpoint.
    Stop,
    /// The shard that it asked for is here, with its SHA-256; or will not come.
    Brought(Result<Option<String>, Moved>),
    /// The shard that it made is on its way; or cannot be taken.
    Taken(Result<(), Moved>),
}

/// What a child says. The last message is `Ended`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromChild {
    /// What it could not give up, and that it was to be strict.
    Unconfined(String),
    /// How far it is.
    Notice(Notice),
    /// It wants a shard.
    Bring(String),
    /// It has made a shard.
    Take(Box<ShardDone>),
    /// How it ended.
    Ended(Result<Output, ComputeError>),
}

/// Why a shard did not come or go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moved {
    code: FaultCode,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

impl From<&PipelineError> for Moved {
    fn from(error: &PipelineError) -> Self {
        Moved { code: error.code(), message: chain(error), hint: error.hint() }
    }
}

impl From<Moved> for PipelineError {
    fn from(Moved { code, message, hint }: Moved) -> Self {
        PipelineError::Moved { code, hint, source: Box::new(Words(message)) }
    }
}
