//! Rows as they come from either database, and what they mean.

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::job::{Event, EventKind, Job, JobStatus, StoreError};

/// The columns of `jobs` that make a [`Job`]; the one place that lists them. Not the plan: it is as large as the model has
/// layers, and few want it.
macro_rules! job_columns {
    () => {
        "id, tenant, status, phase, progress, spec, warnings, error, result, attempt, max_attempts, created_at, \
         started_at, finished_at, cancel_requested_at, artifacts_expired_at, last_seq"
    };
}
pub(super) use job_columns;

/// A row of `jobs`, in the order of [`job_columns!`].
pub(super) struct JobRow {
    id: String,
    tenant: String,
    status: String,
    phase: Option<String>,
    progress: Option<String>,
    spec: String,
    warnings: String,
    error: Option<String>,
    result: Option<String>,
    attempt: i64,
    max_attempts: i64,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    cancel_requested_at: Option<i64>,
    artifacts_expired_at: Option<i64>,
    last_seq: i64,
}

// By hand, for every database at once: sqlx's derive builds both database drivers a second time, and tuples end at 16.
impl<'r, R: Row> FromRow<'r, R> for JobRow
where
    usize: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(JobRow {
            id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            status: row.try_get(2)?,
            phase: row.try_get(3)?,
            progress: row.try_get(4)?,
            spec: row.try_get(5)?,
            warnings: row.try_get(6)?,
            error: row.try_get(7)?,
            result: row.try_get(8)?,
            attempt: row.try_get(9)?,
            max_attempts: row.try_get(10)?,
            created_at: row.try_get(11)?,
            started_at: row.try_get(12)?,
            finished_at: row.try_get(13)?,
            cancel_requested_at: row.try_get(14)?,
            artifacts_expired_at: row.try_get(15)?,
            last_seq: row.try_get(16)?,
        })
    }
}

/// The job that a row holds.
pub(super) fn job(row: JobRow) -> Result<Job, StoreError> {
    let corrupt = |column| StoreError::Corrupt { row: row.id.clone(), column };
    Ok(Job {
        id: row.id.parse().map_err(|_| corrupt("id"))?,
        tenant: row.tenant.parse().map_err(|_| corrupt("tenant"))?,
        status: row.status.parse::<JobStatus>().map_err(|()| corrupt("status"))?,
        spec: from_json(&row.spec).ok_or_else(|| corrupt("spec"))?,
        warnings: from_json(&row.warnings).ok_or_else(|| corrupt("warnings"))?,
        progress: optional(row.progress.as_deref()).ok_or_else(|| corrupt("progress"))?,
        error: optional(row.error.as_deref()).ok_or_else(|| corrupt("error"))?,
        result: optional(row.result.as_deref()).ok_or_else(|| corrupt("result"))?,
        phase: row.phase,
        attempt: row.attempt,
        max_attempts: row.max_attempts,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        cancel_requested_at: row.cancel_requested_at,
        artifacts_expired_at: row.artifacts_expired_at,
        version: row.last_seq,
    })
}

/// The event that a row (seq, at, kind, data) of the job with this id holds.
pub(super) fn event((seq, at, kind, data): (i64, i64, String, String), job: &str) -> Result<Event, StoreError> {
    let corrupt = |column| StoreError::Corrupt { row: job.to_owned(), column };
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
