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

/// A row of `jobs`, in the order of [`job_columns!`]. sqlx reads tuples from every database; a struct would need its
/// macros, which build both database drivers a second time.
pub(super) type JobRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

/// The job that a row holds.
pub(super) fn job(row: JobRow) -> Result<Job, StoreError> {
    let (
        id,
        status,
        phase,
        progress,
        spec,
        plan,
        warnings,
        error,
        result,
        attempt,
        max_attempts,
        created,
        started,
        ended,
    ) = row;
    let corrupt = |column| StoreError::Corrupt { job: id.clone(), column };
    Ok(Job {
        id: id.parse().map_err(|_| corrupt("id"))?,
        status: status.parse::<JobStatus>().map_err(|()| corrupt("status"))?,
        spec: from_json(&spec).ok_or_else(|| corrupt("spec"))?,
        warnings: from_json(&warnings).ok_or_else(|| corrupt("warnings"))?,
        progress: optional(progress.as_deref()).ok_or_else(|| corrupt("progress"))?,
        plan: optional(plan.as_deref()).ok_or_else(|| corrupt("plan"))?,
        error: optional(error.as_deref()).ok_or_else(|| corrupt("error"))?,
        result: optional(result.as_deref()).ok_or_else(|| corrupt("result"))?,
        phase,
        attempt,
        max_attempts,
        created_at: created,
        started_at: started,
        finished_at: ended,
    })
}

/// The job that a worker may take.
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) spec: String,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
}

impl From<(String, String, String, i64, i64)> for Waiting {
    fn from((id, status, spec, attempt, max_attempts): (String, String, String, i64, i64)) -> Self {
        Waiting { id, status, spec, attempt, max_attempts }
    }
}

/// The event that a row (seq, at, kind, data) of the job with this id holds.
pub(super) fn event((seq, at, kind, data): (i64, i64, String, String), job: &str) -> Result<Event, StoreError> {
    let corrupt = |column| StoreError::Corrupt { job: job.to_owned(), column };
    let kind: EventKind = serde_json::from_value(Value::String(kind)).map_err(|_| corrupt("events.kind"))?;
    let data = from_json(&data).ok_or_else(|| corrupt("events.data"))?;
    Ok(Event { seq, at, kind, data })
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
