//! What can go wrong with a job.

use std::{io, path::PathBuf};

use crate::{
    backend::BackendError,
    control::Cancelled,
    fault::{Explanation, Fault, FaultCode},
    model::DetectError,
    spec::Objection,
};

/// What can go wrong with a job.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum PipelineError {
    /// The request cannot be carried out on this model.
    #[error("{}", objections(.0))]
    Objections(Vec<Objection>),
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A file cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file cannot be read again for its digest.
    #[error("cannot read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Threads cannot be started.
    #[error("the threads of the computation cannot be started")]
    Threads {
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// The model, or this version, is not the one that the job was taken apart with.
    #[error("the plan is not the one that the job was taken apart by: the model changed, or workers differ in version")]
    PlanChanged,
    /// A shard could not be brought, or what was made of it not taken away.
    #[error("{source}")]
    Moved {
        /// The code of why.
        code: FaultCode,
        /// What to do about it.
        hint: Option<String>,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The canceller was used.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PipelineError {
    /// The error of what moves shards.
    pub fn moved(error: impl Fault + Send + Sync + 'static) -> Self {
        PipelineError::Moved { code: error.code(), hint: error.hint(), source: error.into() }
    }

    /// The memory that running the model needs, if that is more than was allowed.
    pub fn needs_bytes(&self) -> Option<u64> {
        match self {
            PipelineError::Backend(BackendError::EngineMemory { predicted, .. }) => Some(*predicted),
            _ => None,
        }
    }
}

fn objections(all: &[Objection]) -> String {
    match all {
        [one] => one.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more objections)", first.message, rest.len()),
        [] => "the request cannot be carried out".to_owned(),
    }
}

impl Fault for PipelineError {
    fn explain(&self) -> Explanation<'_> {
        match self {
            PipelineError::Objections(all) => {
                FaultCode::InvalidJob.maybe(all.first().map(|objection| objection.hint.clone()))
            }
            PipelineError::Detect(error) => Explanation::Inner(error),
            PipelineError::Backend(error) => Explanation::Inner(error),
            PipelineError::Moved { code, hint, .. } => code.maybe(hint.clone()),
            PipelineError::Write { .. } => FaultCode::ArtifactUnwritable.hint("is the disk full?"),
            PipelineError::Read { .. } => FaultCode::InputUnreadable.plain(),
            PipelineError::Threads { .. } => FaultCode::ThreadsUnavailable.plain(),
            PipelineError::PlanChanged => {
                FaultCode::PlanChanged.hint("submit the job again once all workers have the same version")
            }
            PipelineError::Cancelled(_) => FaultCode::Cancelled.plain(),
        }
    }
}
