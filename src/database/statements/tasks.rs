//! What ports share of jobs and their tasks: queueing, locking, ending.

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{JobRow, TaskRow, job, to_json},
        tx::bytes,
    },
    job::{EventKind, Failure, Job, JobResult, JobStatus, Notification, StoreError},
};

impl Store {
    /// Queues the one task of a job.
    pub(super) async fn enqueue(tx: &mut Tx, job: &str, backend: &str) -> Result<(), StoreError> {
        sqlx::query(sql!(
            "insert into tasks
               (job_id, n, kind, status, tenant, backend, priority, created_at, attempt, max_attempts, run_after,
                units_done, units_total)
             select id, 0, 'whole', 'waiting', tenant, $2, priority, created_at, 0, max_attempts, {now}, 0, 0
             from jobs
             where id = $1"
        ))
        .bind(job)
        .bind(backend)
        .execute(tx.conn())
        .await?;
        tx.notifications.push(Notification::Queued);
        Ok(())
    }

    /// The tasks of a job, in order, locked.
    pub(super) async fn lock_tasks(tx: &mut Tx, job: &str) -> Result<Vec<TaskRow>, StoreError> {
        let tasks = sqlx::query_as(sql!("select {task columns} from tasks where job_id = $1 order by n {for update}"))
            .bind(job)
            .fetch_all(tx.conn())
            .await?;
        Ok(tasks)
    }

    /// The row of a job that is there.
    pub(super) async fn row(tx: &mut Tx, id: &str) -> Result<Job, StoreError> {
        let row: JobRow =
            sqlx::query_as(sql!("select {job columns} from jobs where id = $1")).bind(id).fetch_one(tx.conn()).await?;
        job(row)
    }

    /// Ends a job whose tasks are locked.
    pub(super) async fn end(
        tx: &mut Tx,
        job: &str,
        status: JobStatus,
        error: Option<&Failure>,
        result: Option<&JobResult>,
    ) -> Result<(), StoreError> {
        sqlx::query(sql!("delete from tasks where job_id = $1")).bind(job).execute(tx.conn()).await?;
        sqlx::query(sql!(
            "update jobs
             set status = $2, error = $3, result = $4, artifact_bytes = $5, finished_at = {now}
             where id = $1"
        ))
        .bind(job)
        .bind(status.name())
        .bind(error.map(to_json).transpose()?)
        .bind(result.map(to_json).transpose()?)
        .bind(bytes(result.map_or(0, JobResult::bytes)))
        .execute(tx.conn())
        .await?;
        let mut data = json!({"status": status});
        if let Some(error) = error {
            data["error"] = json!(error);
        }
        Self::append(tx, job, EventKind::StatusChanged, &data).await
    }

    /// Takes a task away from a job that was asked to stop; with its last one, the job ends.
    pub(super) async fn stop_task(tx: &mut Tx, job: &str, task: i64) -> Result<(), StoreError> {
        sqlx::query(sql!("delete from tasks where job_id = $1 and (n = $2 or status <> 'running')"))
            .bind(job)
            .bind(task)
            .execute(tx.conn())
            .await?;
        if Self::lock_tasks(tx, job).await?.is_empty() {
            Self::end(tx, job, JobStatus::Cancelled, None, None).await?;
        }
        Ok(())
    }
}
