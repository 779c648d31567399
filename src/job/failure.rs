//! [`Failure`]: why a job failed, as it is stored and shown.

use std::io;

use serde::{Deserialize, Serialize};

use crate::{
    control::Phase,
    fault::{Fault, FaultKind, chain},
    spec::Objection,
};

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable name in snake case.
    pub code: String,
    /// The sentence for a person, causes included.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same job may succeed later.
    pub retryable: bool,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What is wrong with the request, if that is the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Objection>,
}

impl Failure {
    /// A failure told by an error. A disk that is full has a name of its own, wherever it was noticed.
    pub fn new(error: &dyn Fault, phase: Option<Phase>) -> Self {
        if error.source().is_some_and(is_full) && error.kind() == FaultKind::Environment {
            let full = Failure { phase, ..Failure::plain("disk_full", chain(&AsError(error)), true) };
            return full.with_hint("free some disk where the server or its store writes, or give it a larger one");
        }
        Failure {
            code: error.code().to_owned(),
            message: chain(&AsError(error)),
            hint: error.hint(),
            retryable: error.kind() == FaultKind::Environment,
            phase,
            errors: Vec::new(),
        }
    }

    /// A failure without an error behind it.
    pub fn plain(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Failure { code, message, hint: None, retryable, phase: None, errors: Vec::new() }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the objections that caused it.
    #[must_use]
    pub fn with_errors(mut self, errors: &[Objection]) -> Self {
        self.errors = errors.to_vec();
        self
    }
}

/// Whether the cause of an error is a disk, or a quota, that is full.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|e| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A fault seen as a plain error.
#[derive(Debug)]
struct AsError<'a>(&'a dyn Fault);

impl std::fmt::Display for AsError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for AsError<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
