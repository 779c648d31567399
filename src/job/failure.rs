//! [`Failure`]: why a job failed, as it is stored and shown.

use std::io;

use serde::{Deserialize, Serialize};

use crate::{
    control::Phase,
    fault::{Code, Fault, FaultCode, FaultKind, chain},
    spec::Objection,
};

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub code: Code,
    /// The sentence for a person, causes included.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same job may succeed later.
    pub retryable: bool,
    /// The phase that it happened in; none where the job was in no phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What is wrong with the request, if that is the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Objection>,
}

impl Failure {
    /// The failure that an error is. A disk that is full has a name of its own, wherever it was noticed.
    pub fn new(error: &dyn Fault, phase: Option<Phase>) -> Self {
        if error.source().is_some_and(is_full) && error.kind() == FaultKind::Environment {
            return Failure::plain(FaultCode::DiskFull, chain(error))
                .with_phase(phase)
                .with_hint("free some disk where the server or its store writes, or give it a larger one");
        }
        Failure { hint: error.hint(), ..Failure::plain(error.code(), chain(error)) }.with_phase(phase)
    }

    /// A failure without an error behind it.
    pub fn plain(code: FaultCode, message: impl Into<String>) -> Self {
        Failure {
            code: code.into(),
            message: message.into(),
            hint: None,
            retryable: code.retryable(),
            phase: None,
            errors: Vec::new(),
        }
    }

    /// The same with where it happened.
    #[must_use]
    pub fn with_phase(mut self, phase: Option<Phase>) -> Self {
        self.phase = phase;
        self
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
