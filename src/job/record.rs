//! [`Job`]: a job as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, JobId, JobSpec, JobStatus, Tenant};
use crate::{control::Progress, fault::Warning, report::Artifact};

/// An artifact, and where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredArtifact {
    /// The file's name, size, digest and media type.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// The prefix of its key in the store, if another one published it than the rest: a shard's worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// What a finished job leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Where the artifacts lie in the store: the prefix of their keys.
    pub prefix: String,
    /// The artifacts, the manifest last.
    pub artifacts: Vec<StoredArtifact>,
    /// The `summary` of the report.
    pub summary: Value,
    /// The report's verdict on the quality gate.
    pub quality_gate: Value,
}

impl JobResult {
    /// The keys of all artifacts in the store.
    pub fn keys(&self) -> Vec<String> {
        self.artifacts.iter().map(|stored| self.key(stored)).collect()
    }

    /// The bytes of all artifacts.
    pub fn bytes(&self) -> u64 {
        self.artifacts.iter().fold(0, |sum, stored| sum.saturating_add(stored.artifact.size))
    }

    /// The key of an artifact in the store.
    pub fn key(&self, stored: &StoredArtifact) -> String {
        format!("{}/{}", stored.prefix.as_ref().unwrap_or(&self.prefix), stored.artifact.name)
    }
}

/// A job as it is stored. Times are milliseconds since 1970 by the database's clock.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id, which also orders jobs by their creation.
    pub id: JobId,
    /// The tenant whose job it is; no other sees it.
    pub tenant: Tenant,
    /// What was asked for.
    pub spec: JobSpec,
    /// The rules as they are carried out; none of a job that an earlier version let in and no worker has planned.
    pub effective_config: Option<Value>,
    /// Its place in the table of [`JobStatus::may_become`].
    pub status: JobStatus,
    /// The phase it is in, or was in last.
    pub phase: Option<String>,
    /// How far the phase has come.
    pub progress: Option<Progress>,
    /// Attempts begun; those that a worker gave back are not counted.
    pub attempt: i64,
    /// The most attempts it gets.
    pub max_attempts: i64,
    /// When it was created.
    pub created_at: i64,
    /// When its last attempt began.
    pub started_at: Option<i64>,
    /// When it reached a status that is terminal.
    pub finished_at: Option<i64>,
    /// When it was asked to stop.
    pub cancel_requested_at: Option<i64>,
    /// When its artifacts were removed by retention.
    pub artifacts_expired_at: Option<i64>,
    /// The number of its newest event: grows with every change that a client can see.
    pub version: i64,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// Why it failed or, while it waits for another attempt, why the last one did.
    pub error: Option<Failure>,
    /// Its artifacts and figures, once it has succeeded.
    pub result: Option<JobResult>,
}

impl Job {
    /// The labels that the request gave it.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.spec.labels
    }
}
