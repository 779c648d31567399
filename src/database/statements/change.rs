//! Cancelling, retrying and deleting a job.

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{JobRow, job, to_json},
        tx::rolled_back,
    },
    job::{Changed, EventKind, Job, JobId, JobStatus, NewJob, Notification, StoreError, Tenant},
};

impl Store {
    /// Begins to change a tenant's job: it is at the version wanted, stands as `fit` wants, and is locked with its tasks. If
    /// not, there is no transaction.
    async fn change(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
        fit: fn(JobStatus) -> bool,
    ) -> Result<Result<(Tx, Job), Changed>, StoreError> {
        let mut tx = self.begin().await?;
        Self::lock_tasks(&mut tx, id.as_str()).await?;
        let row: Option<JobRow> =
            sqlx::query_as(sql!("select {job columns} from jobs where id = $1 and tenant = $2 {for update}"))
                .bind(id.as_str())
                .bind(tenant.as_str())
                .fetch_optional(tx.conn())
                .await?;
        let why = match row.map(job).transpose()? {
            None => Changed::Missing,
            Some(job) if version.is_some_and(|version| version != job.version) => Changed::Stale,
            Some(job) if !fit(job.status) => Changed::Refused(job.status),
            Some(job) => return Ok(Ok((tx, job))),
        };
        rolled_back(tx, Err(why)).await
    }

    /// Ends a job at once if no worker has it, and asks its workers to stop otherwise.
    pub(super) async fn cancel_job(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
    ) -> Result<Changed, StoreError> {
        let may_end = |status| !matches!(status, JobStatus::Succeeded | JobStatus::Failed | JobStatus::TimedOut);
        let (mut tx, job) = match self.change(tenant, id, version, may_end).await? {
            Ok(begun) => begun,
            Err(why) => return Ok(why),
        };
        if matches!(job.status, JobStatus::Cancelling | JobStatus::Cancelled) {
            return rolled_back(tx, Changed::Done(Box::new(job))).await;
        }
        sqlx::query(sql!("delete from tasks where job_id = $1 and status <> 'running'"))
            .bind(id.as_str())
            .execute(tx.conn())
            .await?;
        sqlx::query(sql!(
            "update jobs
             set status = 'cancelling', cancel_requested_at = {now}
             where id = $1"
        ))
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
        if Self::lock_tasks(&mut tx, id.as_str()).await?.is_empty() {
            Self::end(&mut tx, id.as_str(), JobStatus::Cancelled, None, None).await?;
        } else {
            let data = json!({"status": JobStatus::Cancelling});
            Self::append(&mut tx, id.as_str(), EventKind::StatusChanged, &data).await?;
        }
        let job = Self::row(&mut tx, id.as_str()).await?;
        self.commit(tx).await?;
        Ok(Changed::Done(Box::new(job)))
    }

    /// Puts a job that ended without a result into the queue, with another request.
    pub(super) async fn retry_job(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
        with: NewJob,
    ) -> Result<Changed, StoreError> {
        let (mut tx, _) = match self.change(tenant, id, version, JobStatus::may_be_retried).await? {
            Ok(begun) => begun,
            Err(why) => return Ok(why),
        };
        if let Some(exceeded) = Self::exceeded(&mut tx, tenant, &with.quotas).await? {
            return rolled_back(tx, Changed::Exceeded(exceeded)).await;
        }
        sqlx::query(sql!(
            "update jobs
             set status = 'queued', spec = $2, backend = $3, warnings = $4, priority = $5, max_attempts = $6,
                 effective_config = $7, attempt = 0, phase = null, progress = null, plan = null, error = null,
                 started_at = null, finished_at = null, cancel_requested_at = null
             where id = $1"
        ))
        .bind(id.as_str())
        .bind(to_json(&with.job.spec)?)
        .bind(with.job.backend)
        .bind(to_json(&with.job.warnings)?)
        .bind(i64::from(with.job.spec.priority))
        .bind(i64::from(with.job.spec.attempts()))
        .bind(to_json(&with.job.effective_config)?)
        .execute(tx.conn())
        .await?;
        sqlx::query(sql!("delete from job_labels where job_id = $1")).bind(id.as_str()).execute(tx.conn()).await?;
        Self::label(&mut tx, id.as_str(), &with.job.spec).await?;
        Self::enqueue(&mut tx, id.as_str(), with.job.backend).await?;
        let data = json!({"status": JobStatus::Queued, "retried": true});
        Self::append(&mut tx, id.as_str(), EventKind::StatusChanged, &data).await?;
        let job = Self::row(&mut tx, id.as_str()).await?;
        self.commit(tx).await?;
        Ok(Changed::Done(Box::new(job)))
    }

    /// Removes a job that has ended, and notes that its artifacts are to go.
    pub(super) async fn delete_job(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
    ) -> Result<Changed, StoreError> {
        let (mut tx, job) = match self.change(tenant, id, version, JobStatus::is_terminal).await? {
            Ok(begun) => begun,
            Err(why) => return Ok(why),
        };
        sqlx::query(sql!("insert into garbage (job_id) values ($1) on conflict (job_id) do nothing"))
            .bind(id.as_str())
            .execute(tx.conn())
            .await?;
        sqlx::query(sql!("delete from jobs where id = $1")).bind(id.as_str()).execute(tx.conn()).await?;
        tx.notifications.push(Notification::Event(id.clone()));
        self.commit(tx).await?;
        Ok(Changed::Done(Box::new(job)))
    }
}
