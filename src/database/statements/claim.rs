//! Claiming a task: which one a worker gets next, and its lease on it.

use std::time::Duration;

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{NextTask, from_json},
        tx::{bytes, milliseconds, rolled_back},
    },
    fault::FaultCode,
    job::{Claim, EventKind, Failure, JobStatus, StoreError, Work, Worker},
};

/// What came of one look at the queue.
pub(super) enum Look {
    /// The worker has a task.
    Taken(Box<Claim>),
    /// There is none for it.
    Empty,
    /// A task was put away, or another worker was faster: look again.
    Again,
}

impl Store {
    /// Looks at the next task of a worker, and takes it if it may be done.
    pub(super) async fn look(&self, worker: &Worker, lease: Duration) -> Result<Look, StoreError> {
        let mut tx = self.begin().await?;
        let Some(next) = Self::next_task(&mut tx, worker).await? else { return rolled_back(tx, Look::Empty).await };
        let lost = next.status == "running";
        if next.job_status == JobStatus::Cancelling.name() {
            // Its worker died before it knew.
            Self::stop_task(&mut tx, &next.job, next.n).await?;
            self.commit(tx).await?;
            return Ok(Look::Again);
        }
        if lost && next.attempt >= next.max_attempts {
            let message = format!("the worker was lost in each of {} attempts", next.attempt);
            let failure = Failure::plain(FaultCode::WorkerLost, message)
                .with_hint("it may need more memory than its workers have; their logs tell more");
            Self::end(&mut tx, &next.job, JobStatus::Failed, Some(&failure), None).await?;
            self.commit(tx).await?;
            return Ok(Look::Again);
        }
        if let Some(limit) = worker.tenant_limit
            && !Self::has_place(&mut tx, &next.tenant, limit).await?
        {
            return rolled_back(tx, Look::Again).await;
        }
        let token = uuid::Uuid::now_v7().simple().to_string();
        Self::take(&mut tx, &next, worker, &token, lease).await?;
        let work = Self::work(&mut tx, &next).await?;
        self.commit(tx).await?;
        Ok(Look::Taken(Box::new(next.claim(token, work)?)))
    }

    /// The next task that a worker may take: one that lost its worker, else the first that waits.
    async fn next_task(tx: &mut Tx, worker: &Worker) -> Result<Option<NextTask>, StoreError> {
        /// `$1` is the worker's memory, `$2` its backends, `$3` the limit of tasks of a tenant.
        macro_rules! next {
            ($condition:literal) => {
                sql!(concat!(
                    "select t.job_id, t.n, t.kind, t.status, t.attempt, t.max_attempts, t.tenant,
                            j.status, j.spec, j.plan, coalesce(j.started_at, 0), {now}
                     from tasks t
                     join jobs j on j.id = t.job_id
                     where ",
                    $condition,
                    "  and (t.needs_bytes is null or cast($1 as bigint) is null or t.needs_bytes <= $1)
                       and $2 like '%,' || t.backend || ',%'
                       and (cast($3 as bigint) is null
                            or (select count(*) from tasks r
                                where r.tenant = t.tenant and r.status = 'running' and r.lease_until >= {now}) < $3)
                     order by t.priority desc, t.created_at, t.job_id, t.n
                     limit 1
                     {for update of t skip locked}"
                ))
            };
        }
        let lost = next!("t.status = 'running' and t.lease_until < {now}");
        let waiting = next!("t.status = 'waiting' and t.run_after <= {now}");
        let backends = format!(",{},", worker.backends.join(","));
        for statement in [lost, waiting] {
            let next = sqlx::query_as(statement)
                .bind(worker.memory_bytes.map(bytes))
                .bind(&backends)
                .bind(worker.tenant_limit.map(i64::from))
                .fetch_optional(tx.conn())
                .await?;
            if next.is_some() {
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// Whether a tenant has a place left for one more task, so that none of two claims at once goes beyond.
    async fn has_place(tx: &mut Tx, tenant: &str, limit: u32) -> Result<bool, StoreError> {
        sqlx::query(sql!("{lock text $1}")).bind(tenant).execute(tx.conn()).await?;
        let (running,): (i64,) = sqlx::query_as(sql!(
            "select count(*)
             from tasks
             where tenant = $1 and status = 'running' and lease_until >= {now}"
        ))
        .bind(tenant)
        .fetch_one(tx.conn())
        .await?;
        Ok(running < i64::from(limit))
    }

    /// Gives a task to a worker; with a job's only task, the job is running.
    async fn take(
        tx: &mut Tx,
        next: &NextTask,
        worker: &Worker,
        token: &str,
        lease: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(sql!(
            "update tasks
             set status = 'running', attempt = attempt + 1, worker = $3, lease_token = $4, lease_until = {now} + $5
             where job_id = $1 and n = $2"
        ))
        .bind(&next.job)
        .bind(next.n)
        .bind(&worker.name)
        .bind(token)
        .bind(milliseconds(lease))
        .execute(tx.conn())
        .await?;
        if next.kind != "whole" {
            return Ok(());
        }
        sqlx::query(sql!(
            "update jobs
             set status = 'running', attempt = $2, started_at = {now}, phase = null, progress = null, error = null
             where id = $1"
        ))
        .bind(&next.job)
        .bind(next.attempt + 1)
        .execute(tx.conn())
        .await?;
        let data = json!({"status": JobStatus::Running, "attempt": next.attempt + 1, "worker": worker.name});
        Self::append(tx, &next.job, EventKind::StatusChanged, &data).await
    }

    /// What is to be done of a job.
    async fn work(tx: &mut Tx, next: &NextTask) -> Result<Work, StoreError> {
        let corrupt = |column| StoreError::Corrupt { row: next.job.clone(), column };
        let plan = || next.plan.as_deref().and_then(from_json).ok_or_else(|| corrupt("plan"));
        Ok(match next.kind.as_str() {
            "whole" => Work::Whole,
            "shard" => Work::Shard { index: usize::try_from(next.n - 1).unwrap_or(0), plan: plan()? },
            _ => {
                let rows: Vec<(Option<String>,)> = sqlx::query_as(sql!(
                    "select output
                     from tasks
                     where job_id = $1 and kind = 'shard'
                     order by n"
                ))
                .bind(&next.job)
                .fetch_all(tx.conn())
                .await?;
                let outputs = rows.iter().map(|(text,)| from_json(text.as_deref()?)).collect();
                Work::Join { plan: plan()?, outputs }
            }
        })
    }
}
