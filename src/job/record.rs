//! [`Job`]: a job as it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, JobId, JobSpec, JobStatus};
use crate::{control::Progress, fault::Warning, report::Artifact};

/// What a finished job leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Where the artifacts lie in the store: the prefix of their keys.
    pub prefix: String,
    /// The artifacts, the manifest last.
    pub artifacts: Vec<Artifact>,
    /// The report's summary.
    pub summary: Value,
    /// The report's verdict on the quality gate.
    pub quality_gate: Value,
}

/// A job as it is kept. Times are milliseconds since 1970 by the database's clock.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What was asked for.
    pub spec: JobSpec,
    /// Where it stands.
    pub status: JobStatus,
    /// The phase it is in, or was in last.
    pub phase: Option<String>,
    /// How far the phase has come.
    pub progress: Option<Progress>,
    /// Attempts begun.
    pub attempt: i64,
    /// The most attempts it gets.
    pub max_attempts: i64,
    /// When it was created.
    pub created_at: i64,
    /// When its last attempt began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// `{effective_config, plan}`, once it is known.
    pub plan: Option<Value>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What it left.
    pub result: Option<JobResult>,
}

impl Job {
    /// The user's labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.spec.labels
    }
}
