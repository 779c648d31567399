//! [`Queue`]: tasks for workers.

use std::time::Duration;

use async_trait::async_trait;

use super::{Store, claim::Look};
use crate::{
    database::{dialect::sql, tx::milliseconds},
    job::{Claim, Finish, Held, JobStatus, Lease, Queue, StoreError, Update, Worker},
};

#[async_trait]
impl Queue for Store {
    async fn claim(&self, worker: &Worker, lease: Duration) -> Result<Option<Claim>, StoreError> {
        loop {
            match self.look(worker, lease).await? {
                Look::Taken(claim) => return Ok(Some(*claim)),
                Look::Empty => return Ok(None),
                Look::Again => {}
            }
        }
    }

    async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<Held, StoreError> {
        let status = sqlx::query_as(sql!(
            "update tasks
             set lease_until = {now} + $4
             where job_id = $1 and n = $2 and lease_token = $3
             returning (select status from jobs where id = $1)"
        ))
        .bind(lease.job.as_str())
        .bind(lease.task)
        .bind(&lease.token)
        .bind(milliseconds(length))
        .fetch_optional(&self.pool)
        .await?;
        Ok(held(status))
    }

    async fn watch(&self, lease: &Lease) -> Result<Held, StoreError> {
        let status = sqlx::query_as(sql!(
            "select j.status
             from tasks t
             join jobs j on j.id = t.job_id
             where t.job_id = $1 and t.n = $2 and t.lease_token = $3"
        ))
        .bind(lease.job.as_str())
        .bind(lease.task)
        .bind(&lease.token)
        .fetch_optional(&self.pool)
        .await?;
        Ok(held(status))
    }

    async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError> {
        self.record_update(lease, update).await
    }

    async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError> {
        self.end_attempt(lease, how).await
    }
}

/// How the one who holds a lease should go on, given the job's status if the lease is still good.
fn held(status: Option<(String,)>) -> Held {
    match status {
        None => Held::Lost,
        Some((status,)) if status == JobStatus::Cancelling.name() => Held::Cancelled,
        Some(_) => Held::Yes,
    }
}
