//! Claiming a task: a worker's lease on it. Which one it gets is in `turns.rs`.

use std::time::Duration;

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{NextTask, from_json},
        tx::{milliseconds, rolled_back},
    },
    job::{Claim, EventKind, JobStatus, StoreError, Work, Worker},
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
        if Self::put_away_lost(&mut tx).await? {
            self.commit(tx).await?;
            return Ok(Look::Again);
        }
        let Some(next) = Self::next_task(&mut tx, worker).await? else { return rolled_back(tx, Look::Empty).await };
        if let Some(limit) = worker.tenant_limit
            && !Self::has_place(&mut tx, &next.tenant, limit).await?
        {
            return rolled_back(tx, Look::Again).await;
        }
        let token = uuid::Uuid::now_v7().simple().to_string();
        Self::take(&mut tx, &next, worker, &token, lease).await?;
        let work = Self::work(&mut tx, &next).await?;
        self.commit(tx).await?;
        Ok(Look::Taken(Box::new(next.claim(token, work, worker.default_timeout)?)))
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
        sqlx::query(sql!(
            "insert into turns (tenant, at)
             values ($1, {now})
             on conflict (tenant) do update set at = excluded.at"
        ))
        .bind(&next.tenant)
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
