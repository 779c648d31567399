//! Ending an attempt: what becomes of its task and of its job.

use std::time::Duration;

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::to_json,
        tx::{bytes, milliseconds, rolled_back},
    },
    fault::Warning,
    job::{EventKind, Failure, Finish, JobStatus, Lease, Notification, StoreError},
};

/// How a task goes back to the queue.
#[derive(Default)]
pub(super) struct Requeue<'a> {
    /// Before it may be taken again.
    pub(super) wait: Duration,
    /// The attempt is not counted.
    pub(super) uncounted: bool,
    /// Its worker was lost.
    pub(super) lost: bool,
    /// The memory that its next worker needs.
    pub(super) needs_bytes: Option<u64>,
    /// Why it did not succeed.
    pub(super) error: Option<&'a Failure>,
}

/// A task, by its key.
#[derive(Clone, Copy)]
pub(super) struct TaskOf<'a> {
    pub(super) job: &'a str,
    pub(super) n: i64,
}

impl Store {
    /// Ends an attempt, and with the last one of a job the job. `false`: the lease is another's.
    pub(super) async fn end_attempt(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let job = lease.job.as_str();
        let task = TaskOf { job, n: lease.task };
        let tasks = Self::lock_tasks(&mut tx, job).await?;
        let mine = |token: Option<&String>| token == Some(&lease.token);
        if !tasks.iter().any(|task| task.n == lease.task && mine(task.lease_token.as_ref())) {
            return rolled_back(tx, false).await;
        }
        let (status,): (String,) = sqlx::query_as(sql!("select status from jobs where id = $1 {for update}"))
            .bind(job)
            .fetch_one(tx.conn())
            .await?;
        let cancelled = status == JobStatus::Cancelling.name();
        match &how {
            Finish::Succeeded(result) => Self::end(&mut tx, job, JobStatus::Succeeded, None, Some(result)).await?,
            Finish::Failed(failure) => Self::end(&mut tx, job, JobStatus::Failed, Some(failure), None).await?,
            Finish::TimedOut(failure) => Self::end(&mut tx, job, JobStatus::TimedOut, Some(failure), None).await?,
            // What would go on ends here, if it was asked to.
            _ if cancelled => Self::stop_task(&mut tx, job, lease.task).await?,
            // By a worker that was stopped by something else than the job's status.
            Finish::Cancelled => Self::requeue(&mut tx, task, Requeue::default()).await?,
            Finish::Retry(failure, wait) => {
                let requeue = Requeue { wait: *wait, error: Some(failure), ..Requeue::default() };
                Self::requeue(&mut tx, task, requeue).await?;
            }
            Finish::Released => {
                Self::requeue(&mut tx, task, Requeue { uncounted: true, ..Requeue::default() }).await?;
            }
            Finish::TooSmall { needs_bytes } => {
                let requeue = Requeue { uncounted: true, needs_bytes: Some(*needs_bytes), ..Requeue::default() };
                Self::requeue(&mut tx, task, requeue).await?;
            }
            Finish::FanOut(shards) => Self::fan_out(&mut tx, lease, shards).await?,
            Finish::ShardDone(output) => Self::shard_done(&mut tx, lease, output, &tasks).await?,
        }
        self.commit(tx).await?;
        Ok(true)
    }

    /// Puts a task back to be taken again; with a job's only task, the job is queued.
    pub(super) async fn requeue(tx: &mut Tx, task: TaskOf<'_>, how: Requeue<'_>) -> Result<(), StoreError> {
        let TaskOf { job, n } = task;
        let (kind,): (String,) = sqlx::query_as(sql!(
            "update tasks
             set status = 'waiting', run_after = {now} + $3, attempt = attempt - $4,
                 worker = null, lease_token = null, lease_until = null,
                 units_done = 0, needs_bytes = coalesce($5, needs_bytes), losses = losses + $6
             where job_id = $1 and n = $2
             returning kind"
        ))
        .bind(job)
        .bind(n)
        .bind(milliseconds(how.wait))
        .bind(i64::from(how.uncounted))
        .bind(how.needs_bytes.map(bytes))
        .bind(i64::from(how.lost))
        .fetch_one(tx.conn())
        .await?;
        tx.notifications.push(Notification::Queued);
        if kind != "whole" {
            let Some(failure) = how.error else { return Ok(()) };
            let note = format!("part {n} is tried again: {}", failure.message);
            let data = json!(Warning::new(failure.code.clone(), note));
            return Self::append(tx, job, EventKind::Warning, &data).await;
        }
        sqlx::query(sql!("update jobs set status = 'queued', error = $2, attempt = attempt - $3 where id = $1"))
            .bind(job)
            .bind(how.error.map(to_json).transpose()?)
            .bind(i64::from(how.uncounted))
            .execute(tx.conn())
            .await?;
        let mut data = json!({"status": JobStatus::Queued});
        if let Some(error) = how.error {
            data["error"] = json!(error);
        }
        if let Some(bytes) = how.needs_bytes {
            data["needs_bytes"] = json!(bytes);
        }
        Self::append(tx, job, EventKind::StatusChanged, &data).await
    }
}
