//! Rows as they come from either database, and what they mean.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::job::{Event, EventKind, Job, JobStatus, StoreError};

/// The columns of `jobs` that make a [`Job`]; the one place that lists them.
macro_rules! job_columns {
    () => {
        "id, status, phase, progress, spec, plan, warnings, error, result, attempt, max_attempts, created_at, \
         started_at, finished_at"
    };
}
pub(super) use job_columns;

/// A row of `jobs`.
#[derive(sqlx::FromRow)]
pub(super) struct JobRow {
    id: String,
    status: String,
    phase: Option<String>,
    progress: Option<String>,
    spec: String,
    plan: Option<String>,
    warnings: String,
    error: Option<String>,
    result: Option<String>,
    attempt: i64,
    max_attempts: i64,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let job = row.id.clone();
        let corrupt = |column| StoreError::Corrupt { job: job.clone(), column };
        Ok(Job {
            id: row.id.parse().map_err(|_| corrupt("id"))?,
            status: row.status.parse::<JobStatus>().map_err(|()| corrupt("status"))?,
            spec: from_json(&row.spec).ok_or_else(|| corrupt("spec"))?,
            warnings: from_json(&row.warnings).ok_or_else(|| corrupt("warnings"))?,
            progress: optional(row.progress.as_deref()).ok_or_else(|| corrupt("progress"))?,
            plan: optional(row.plan.as_deref()).ok_or_else(|| corrupt("plan"))?,
            error: optional(row.error.as_deref()).ok_or_else(|| corrupt("error"))?,
            result: optional(row.result.as_deref()).ok_or_else(|| corrupt("result"))?,
            phase: row.phase,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

/// The job that a worker may take.
#[derive(sqlx::FromRow)]
pub(super) struct WaitingRow {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) spec: String,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
}

/// A row of `events`.
#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    seq: i64,
    at: i64,
    kind: String,
    data: String,
}

impl EventRow {
    /// The event, of the job with this id.
    pub(super) fn into_event(self, job: &str) -> Result<Event, StoreError> {
        let corrupt = |column| StoreError::Corrupt { job: job.to_owned(), column };
        let kind: EventKind = serde_json::from_value(Value::String(self.kind)).map_err(|_| corrupt("events.kind"))?;
        let data = from_json(&self.data).ok_or_else(|| corrupt("events.data"))?;
        Ok(Event { seq: self.seq, at: self.at, kind, data })
    }
}

/// A value that a JSON text holds.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// The same of a column that may be null. `None` if the text is unreadable.
fn optional<T: DeserializeOwned>(text: Option<&str>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| from_json(text).map(Some))
}

/// A value as JSON text.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Database(Box::new(e)))
}
