//! What can go wrong with a job.

use std::{io, path::PathBuf};

use crate::{
    backend::BackendError,
    control::Cancelled,
    fault::{Fault, FaultKind},
    model::DetectError,
    spec::Objection,
};

/// What can go wrong with a job.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The request cannot be carried out on this model.
    #[error("{}", objections(.0))]
    Objections(Vec<Objection>),
    /// The model's kind.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A file cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read again for its digest.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Threads cannot be started.
    #[error("the threads of the computation cannot be started")]
    Threads {
        /// Why.
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
        code: &'static str,
        /// Whose fault it is.
        kind: FaultKind,
        /// What to do about it.
        hint: Option<String>,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PipelineError {
    /// The error of whoever moves shards.
    pub fn moved(error: impl Fault + Send + Sync + 'static) -> Self {
        PipelineError::Moved { code: error.code(), kind: error.kind(), hint: error.hint(), source: error.into() }
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
    fn code(&self) -> &'static str {
        match self {
            PipelineError::Objections(_) => "invalid_job",
            PipelineError::Detect(e) => e.code(),
            PipelineError::Backend(e) => e.code(),
            PipelineError::Write { .. } => "artifact_unwritable",
            PipelineError::Read { .. } => "input_unreadable",
            PipelineError::Threads { .. } => "threads_unavailable",
            PipelineError::PlanChanged => "plan_changed",
            PipelineError::Moved { code, .. } => code,
            PipelineError::Cancelled(_) => "cancelled",
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            PipelineError::Objections(_) => FaultKind::Invalid,
            PipelineError::Detect(e) => e.kind(),
            PipelineError::Backend(e) => e.kind(),
            PipelineError::Write { .. }
            | PipelineError::Read { .. }
            | PipelineError::Threads { .. }
            | PipelineError::PlanChanged => FaultKind::Environment,
            PipelineError::Moved { kind, .. } => *kind,
            PipelineError::Cancelled(_) => FaultKind::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PipelineError::Objections(all) => all.iter().find_map(|objection| objection.hint.clone()),
            PipelineError::Detect(e) => e.hint(),
            PipelineError::Backend(e) => e.hint(),
            PipelineError::Moved { hint, .. } => hint.clone(),
            PipelineError::Write { .. } => Some("is the disk full?".to_owned()),
            PipelineError::PlanChanged => {
                Some("submit the job again once all workers have the same version".to_owned())
            }
            PipelineError::Read { .. } | PipelineError::Threads { .. } | PipelineError::Cancelled(_) => None,
        }
    }
}
