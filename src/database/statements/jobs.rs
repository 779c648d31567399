//! [`JobStore`]: jobs for those who make and look at them.

use async_trait::async_trait;
use serde_json::Value;

use super::Store;
use crate::{
    database::{
        dialect::sql,
        notifications::stream_of,
        rows::{EventRow, JobRow, event, from_json, job},
    },
    job::{
        Changed, Created, Event, Job, JobId, JobStatus, JobStore, ListQuery, NewJob, NotificationStream, QueueStats,
        StoreError, Tenant, TenantUsage,
    },
};

#[async_trait]
impl JobStore for Store {
    async fn create(&self, new: NewJob) -> Result<Created, StoreError> {
        loop {
            if let Some(created) = self.try_create(&new).await? {
                return Ok(created);
            }
        }
    }

    async fn get(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Job>, StoreError> {
        let row: Option<JobRow> = sqlx::query_as(sql!("select {job columns} from jobs where id = $1 and tenant = $2"))
            .bind(id.as_str())
            .bind(tenant.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(job).transpose()
    }

    async fn plan(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Value>, StoreError> {
        let row: Option<(Option<String>,)> =
            sqlx::query_as(sql!("select plan from jobs where id = $1 and tenant = $2"))
                .bind(id.as_str())
                .bind(tenant.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let Some(text) = row.and_then(|(plan,)| plan) else { return Ok(None) };
        let corrupt = || StoreError::Corrupt { row: id.to_string(), column: "plan" };
        from_json(&text).ok_or_else(corrupt).map(Some)
    }

    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Job>, StoreError> {
        let rows: Vec<JobRow> = sqlx::query_as(sql!(
            "select {job columns}
             from jobs
             where tenant = $1
               and (cast($2 as text) is null or status = $2)
               and (cast($3 as bigint) is null or (created_at, id) < ($3, $4))
               and (cast($5 as text) is null or backend = $5)
               and (cast($6 as text) is null or name = $6)
               and (cast($7 as text) is null
                    or exists (select 1 from job_labels l where l.job_id = jobs.id and l.key = $7 and l.value = $8))
               and (cast($9 as bigint) is null or created_at >= $9)
               and (cast($10 as bigint) is null or created_at < $10)
             order by created_at desc, id desc
             limit $11"
        ))
        .bind(tenant.as_str())
        .bind(query.status.map(JobStatus::name))
        .bind(query.after.as_ref().map(|cursor| cursor.created_at))
        .bind(query.after.as_ref().map(|cursor| cursor.id.as_str()))
        .bind(query.backend)
        .bind(query.name)
        .bind(query.label.as_ref().map(|(key, _)| key))
        .bind(query.label.as_ref().map(|(_, value)| value))
        .bind(query.created_after)
        .bind(query.created_before)
        .bind(query.limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(job).collect()
    }

    async fn events(&self, tenant: &Tenant, id: &JobId, after: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(sql!(
            "select {event columns}
             from events
             where job_id = $1 and seq > $2 and exists (select 1 from jobs where id = $1 and tenant = $3)
             order by seq
             limit $4"
        ))
        .bind(id.as_str())
        .bind(after)
        .bind(tenant.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| event(row, id.as_str())).collect()
    }

    async fn cancel(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError> {
        self.cancel_job(tenant, id, version).await
    }

    async fn retry(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
        with: NewJob,
    ) -> Result<Changed, StoreError> {
        self.retry_job(tenant, id, version, with).await
    }

    async fn delete(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError> {
        self.delete_job(tenant, id, version).await
    }

    async fn stats(&self) -> Result<QueueStats, StoreError> {
        let jobs: Vec<(String, i64)> =
            sqlx::query_as(sql!("select status, count(*) from jobs group by status")).fetch_all(&self.pool).await?;
        let (tasks_waiting, tasks_running, oldest_wait): (i64, i64, i64) = sqlx::query_as(sql!(
            "select count(case when status = 'waiting' then 1 end),
                    count(case when status = 'running' then 1 end),
                    coalesce({now} - min(case when status = 'waiting' and run_after <= {now} then run_after end), 0)
             from tasks"
        ))
        .fetch_one(&self.pool)
        .await?;
        let (workers,): (i64,) = sqlx::query_as(sql!("select count(*) from workers where seen_at > {now} - 60000"))
            .fetch_one(&self.pool)
            .await?;
        let jobs = jobs.into_iter().collect();
        Ok(QueueStats { jobs, tasks_waiting, tasks_running, oldest_wait: oldest_wait.max(0), workers })
    }

    async fn usage(&self) -> Result<Vec<TenantUsage>, StoreError> {
        self.tenants().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A table of ours: a database that answers and was not migrated is of no use.
        sqlx::query(sql!("select 1 from jobs limit 1")).fetch_optional(&self.pool).await?;
        Ok(())
    }

    fn notifications(&self) -> NotificationStream {
        stream_of(&self.notifications)
    }
}
