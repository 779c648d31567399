//! What tenants hold, and whether one may have more.

use super::{Store, Tx};
use crate::{
    database::dialect::sql,
    job::{Exceeded, Quotas, StoreError, Tenant, TenantUsage},
};

impl Store {
    /// The quota that keeps a tenant from queueing a job.
    pub(super) async fn exceeded(
        tx: &mut Tx,
        tenant: &Tenant,
        quotas: &Quotas,
    ) -> Result<Option<Exceeded>, StoreError> {
        if let Some(limit) = quotas.queued_jobs {
            // Of several requests at once, each sees what those before it queued.
            sqlx::query(sql!("{lock text $1}")).bind(format!("queue of {tenant}")).execute(tx.conn()).await?;
            let (queued,): (i64,) =
                sqlx::query_as(sql!("select count(*) from jobs where tenant = $1 and status = 'queued'"))
                    .bind(tenant.as_str())
                    .fetch_one(tx.conn())
                    .await?;
            if count(queued) >= limit {
                return Ok(Some(Exceeded::QueuedJobs { limit }));
            }
        }
        if let Some(limit) = quotas.artifact_bytes {
            let (used,): (i64,) = sqlx::query_as(sql!(
                "select cast(coalesce(sum(artifact_bytes), 0) as bigint)
                 from jobs
                 where tenant = $1 and artifact_bytes > 0 and artifacts_expired_at is null"
            ))
            .bind(tenant.as_str())
            .fetch_one(tx.conn())
            .await?;
            if count(used) >= limit {
                return Ok(Some(Exceeded::ArtifactBytes { used: count(used), limit }));
            }
        }
        Ok(None)
    }

    /// What each tenant holds that has jobs or keys.
    pub(super) async fn tenants(&self) -> Result<Vec<TenantUsage>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(sql!(
            "select n.tenant,
                    (select count(*) from jobs j where j.tenant = n.tenant and j.status = 'queued'),
                    (select count(*) from tasks t
                     where t.status = 'running' and t.tenant = n.tenant and t.lease_until >= {now}),
                    (select cast(coalesce(sum(j.artifact_bytes), 0) as bigint) from jobs j
                     where j.tenant = n.tenant and j.artifact_bytes > 0 and j.artifacts_expired_at is null)
             from (select tenant from jobs union select tenant from api_keys) n
             order by n.tenant"
        ))
        .fetch_all(&self.pool)
        .await?;
        let usage = |(tenant, queued, running, bytes): (String, i64, i64, i64)| TenantUsage {
            tenant,
            queued_jobs: count(queued),
            running_tasks: count(running),
            artifact_bytes: count(bytes),
        };
        Ok(rows.into_iter().map(usage).collect())
    }
}

/// A count or a sum of what is never negative.
fn count(found: i64) -> u64 {
    u64::try_from(found).unwrap_or(0)
}
