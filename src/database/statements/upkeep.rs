//! [`Upkeep`]: what is to be cleaned up.

use std::time::Duration;

use async_trait::async_trait;

use serde_json::{Value, json};

use super::Store;
use crate::{
    database::{
        dialect::sql,
        rows::{JobRow, from_json, job},
        tx::milliseconds,
    },
    job::{EventKind, JobFootprint, JobId, JobResult, StoreError, Upkeep},
};

#[async_trait]
impl Upkeep for Store {
    async fn end_all_leases(&self) -> Result<(), StoreError> {
        sqlx::query(sql!("update tasks set lease_until = 0 where lease_until is not null")).execute(&self.pool).await?;
        Ok(())
    }

    async fn footprint(&self, id: &JobId) -> Result<Option<JobFootprint>, StoreError> {
        let row: Option<JobRow> = sqlx::query_as(sql!("select {job columns} from jobs where id = $1"))
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(job) = row.map(job).transpose()? else { return Ok(None) };
        let result = job.result.as_ref().filter(|_| job.artifacts_expired_at.is_none());
        let keys = result.map(JobResult::keys).unwrap_or_default();
        let rows: Vec<(String,)> =
            sqlx::query_as(sql!("select output from tasks where job_id = $1 and output is not null"))
                .bind(id.as_str())
                .fetch_all(&self.pool)
                .await?;
        let prefix = |(text,): &(String,)| Some(from_json::<Value>(text)?.get("prefix")?.as_str()?.to_owned());
        let shard_prefixes = rows.iter().filter_map(prefix).collect();
        Ok(Some(JobFootprint { ended: job.status.is_terminal(), keys, shard_prefixes }))
    }

    async fn to_sweep(&self, ended_within: Duration) -> Result<Vec<JobId>, StoreError> {
        let rows = sqlx::query_as(sql!(
            "select job_id from garbage
             union
             select id from jobs where finished_at > {now} - $1"
        ))
        .bind(milliseconds(ended_within))
        .fetch_all(&self.pool)
        .await?;
        Ok(ids(rows))
    }

    async fn swept(&self, job: &JobId) -> Result<(), StoreError> {
        sqlx::query(sql!("delete from garbage where job_id = $1")).bind(job.as_str()).execute(&self.pool).await?;
        Ok(())
    }

    async fn expire(&self, age: Duration, limit: i64) -> Result<Vec<JobId>, StoreError> {
        let mut tx = self.begin().await?;
        let rows: Vec<(String,)> = sqlx::query_as(sql!(
            "update jobs
             set artifacts_expired_at = {now}
             where id in (
               select id from jobs
               where result is not null and artifacts_expired_at is null and finished_at < {now} - $1
               order by id
               limit $2
               {for update}
             )
             returning id"
        ))
        .bind(milliseconds(age))
        .bind(limit)
        .fetch_all(tx.conn())
        .await?;
        for (job,) in &rows {
            Self::append(&mut tx, job, EventKind::ArtifactsExpired, &json!({})).await?;
        }
        self.commit(tx).await?;
        Ok(ids(rows))
    }

    async fn prune(&self, events: Option<Duration>, keys: Duration) -> Result<(), StoreError> {
        if let Some(age) = events {
            sqlx::query(sql!(
                "delete from events
                 where kind <> 'job.status_changed'
                   and job_id in (select id from jobs where finished_at < {now} - $1)"
            ))
            .bind(milliseconds(age))
            .execute(&self.pool)
            .await?;
        }
        for statement in [
            sql!("delete from idempotency_keys where created_at < {now} - $1"),
            sql!("delete from deliveries where status <> 'pending' and created_at < {now} - $1"),
            sql!("delete from workers where seen_at < {now} - $1"),
        ] {
            sqlx::query(statement).bind(milliseconds(keys)).execute(&self.pool).await?;
        }
        Ok(())
    }
}

fn ids(rows: Vec<(String,)>) -> Vec<JobId> {
    rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect()
}
