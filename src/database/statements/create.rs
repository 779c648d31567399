//! Creating a job: its row, its first task and its first event, in one transaction.

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{JobRow, job, to_json},
        tx::{is_unique_violation, rolled_back},
    },
    job::{Created, EventKind, Idempotency, JobSpec, JobStatus, NewJob, StoreError},
};

impl Store {
    /// One try at creating a job. `None`: somebody else wrote between our looking and our writing; look again.
    pub(super) async fn try_create(&self, new: &NewJob) -> Result<Option<Created>, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(known) = Self::known(&mut tx, new).await? {
            return rolled_back(tx, Some(known)).await;
        }
        if let Some(exceeded) = Self::exceeded(&mut tx, &new.tenant, &new.quotas).await? {
            return rolled_back(tx, Some(Created::Exceeded(exceeded))).await;
        }
        let inserted: Result<JobRow, sqlx::Error> = sqlx::query_as(sql!(
            "insert into jobs
               (id, tenant, name, status, spec, backend, warnings, priority, attempt, max_attempts, effective_config,
                created_at, last_seq)
             values ($1, $2, $3, 'queued', $4, $5, $6, $7, 0, $8, $9, {now}, 1)
             returning {job columns}"
        ))
        .bind(new.id.as_str())
        .bind(new.tenant.as_str())
        .bind(&new.job.spec.name)
        .bind(to_json(&new.job.spec)?)
        .bind(new.job.backend)
        .bind(to_json(&new.job.warnings)?)
        .bind(i64::from(new.job.spec.priority))
        .bind(i64::from(new.job.spec.attempts()))
        .bind(to_json(&new.job.effective_config)?)
        .fetch_one(tx.conn())
        .await;
        if is_unique_violation(&inserted) {
            return rolled_back(tx, None).await;
        }
        let job = job(inserted?)?;
        if let Some(key) = &new.idempotency
            && !Self::note_key(&mut tx, new, key).await?
        {
            return rolled_back(tx, None).await;
        }
        Self::label(&mut tx, new.id.as_str(), &new.job.spec).await?;
        Self::enqueue(&mut tx, new.id.as_str(), new.job.backend).await?;
        let data = json!({"status": JobStatus::Queued});
        Self::record(&mut tx, new.id.as_str(), 1, EventKind::StatusChanged, &data).await?;
        self.commit(tx).await?;
        Ok(Some(Created::New(job)))
    }

    /// The answer to a request that was made before, or whose name is taken.
    async fn known(tx: &mut Tx, new: &NewJob) -> Result<Option<Created>, StoreError> {
        if let Some(key) = &new.idempotency {
            let known: Option<(String, String)> = sqlx::query_as(sql!(
                "select fingerprint, job_id
                 from idempotency_keys
                 where tenant = $1 and key = $2"
            ))
            .bind(new.tenant.as_str())
            .bind(&key.key)
            .fetch_optional(tx.conn())
            .await?;
            if let Some((fingerprint, job)) = known {
                return Ok(Some(if fingerprint == key.fingerprint {
                    Created::Replayed(Self::row(tx, &job).await?)
                } else {
                    Created::KeyReused
                }));
            }
        }
        let Some(name) = &new.job.spec.name else { return Ok(None) };
        let namesake: Option<(String,)> = sqlx::query_as(sql!("select id from jobs where tenant = $1 and name = $2"))
            .bind(new.tenant.as_str())
            .bind(name)
            .fetch_optional(tx.conn())
            .await?;
        Ok(namesake.and_then(|(id,)| id.parse().ok()).map(Created::NameTaken))
    }

    /// Remembers the key of a request; `false` if another request has it by now.
    async fn note_key(tx: &mut Tx, new: &NewJob, key: &Idempotency) -> Result<bool, StoreError> {
        let inserted = sqlx::query(sql!(
            "insert into idempotency_keys (tenant, key, fingerprint, job_id, created_at)
             values ($1, $2, $3, $4, {now})"
        ))
        .bind(new.tenant.as_str())
        .bind(&key.key)
        .bind(&key.fingerprint)
        .bind(new.id.as_str())
        .execute(tx.conn())
        .await;
        if is_unique_violation(&inserted) {
            return Ok(false);
        }
        inserted?;
        Ok(true)
    }

    /// Writes the labels of a job that has none.
    pub(super) async fn label(tx: &mut Tx, job: &str, spec: &JobSpec) -> Result<(), StoreError> {
        for (key, value) in &spec.labels {
            sqlx::query(sql!("insert into job_labels (job_id, key, value) values ($1, $2, $3)"))
                .bind(job)
                .bind(key)
                .bind(value)
                .execute(tx.conn())
                .await?;
        }
        Ok(())
    }
}
