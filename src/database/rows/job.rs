//! Rows of the table `jobs`, and the [`Job`] that each is.

use super::{
    json::{from_json, optional},
    row::table_row,
};
use crate::job::{Job, JobStatus, StoreError};

table_row! {
    /// A row of `jobs`, as far as it makes a [`Job`]. Not the plan: it is as large as the model has layers, and few want it.
    JobRow {
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
        effective_config: Option<String>,
    }
}

/// The job that a row holds.
pub(in crate::database) fn job(row: JobRow) -> Result<Job, StoreError> {
    let corrupt = |column| StoreError::Corrupt { row: row.id.clone(), column };
    Ok(Job {
        id: row.id.parse().map_err(|_| corrupt("id"))?,
        tenant: row.tenant.parse().map_err(|_| corrupt("tenant"))?,
        status: row.status.parse::<JobStatus>().map_err(|()| corrupt("status"))?,
        spec: from_json(&row.spec).ok_or_else(|| corrupt("spec"))?,
        effective_config: optional(row.effective_config.as_deref()).ok_or_else(|| corrupt("effective_config"))?,
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
