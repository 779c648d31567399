//! Every statement, once. [`job_store!`] makes the [`JobStore`](crate::job::JobStore) of one database from them.

/// Implements `JobStore` for `$store`, which has a `pool` and an async `begin` that starts a transaction fit for
/// writing. `$now` is the dialect's clock in milliseconds, `$lock` what keeps two claims apart.
macro_rules! job_store {
    ($store:ident, $database:ty, now: $now:literal, lock: $lock:literal) => {
        impl $store {
            /// Appends an event inside the transaction that made it true.
            async fn append(
                tx: &mut sqlx::Transaction<'_, $database>,
                job: &str,
                kind: EventKind,
                data: &Value,
            ) -> Result<(), StoreError> {
                let (seq,): (i64,) =
                    sqlx::query_as("update jobs set last_seq = last_seq + 1 where id = $1 returning last_seq")
                        .bind(job.to_owned())
                        .fetch_one(&mut **tx)
                        .await
                        .map_err(database)?;
                sqlx::query(concat!(
                    "insert into events (job_id, seq, at, kind, data) values ($1, $2, ", $now, ", $3, $4)"
                ))
                .bind(job.to_owned())
                .bind(seq)
                .bind(kind.name())
                .bind(to_json(data)?)
                .execute(&mut **tx)
                .await
                .map_err(database)?;
                Ok(())
            }

            /// The oldest of the most urgent jobs that nobody works on.
            async fn waiting(
                tx: &mut sqlx::Transaction<'_, $database>,
            ) -> Result<Option<Waiting>, StoreError> {
                let row: Option<(String, String, String, i64, i64)> = sqlx::query_as(concat!(
                    "select id, status, spec, attempt, max_attempts from jobs ",
                    "where (status = 'queued' and run_after <= ", $now, ") ",
                    // A lease that ran out: its worker is dead, or will find itself fenced off.
                    "or (status in ('running', 'cancelling') and lease_until < ", $now, ") ",
                    "order by priority desc, created_at, id limit 1 ", $lock
                ))
                .fetch_optional(&mut **tx)
                .await
                .map_err(database)?;
                Ok(row.map(Waiting::from))
            }

            /// Ends a job that lost its last worker.
            async fn bury(
                tx: &mut sqlx::Transaction<'_, $database>,
                row: &Waiting,
            ) -> Result<(), StoreError> {
                let message = format!("the worker was lost in each of {} attempts", row.attempt);
                let failure = Failure::plain("worker_lost", message, false);
                sqlx::query(concat!(
                    "update jobs set status = 'failed', error = $2, finished_at = ", $now,
                    ", lease_token = null, lease_until = null where id = $1"
                ))
                .bind(row.id.clone())
                .bind(to_json(&failure)?)
                .execute(&mut **tx)
                .await
                .map_err(database)?;
                let data = json!({"status": JobStatus::Failed, "error": failure});
                Self::append(tx, &row.id, EventKind::StatusChanged, &data).await
            }
        }

        #[async_trait::async_trait]
        impl JobStore for $store {
            async fn create(&self, new: NewJob) -> Result<Job, StoreError> {
                let mut tx = self.begin().await?;
                let attempts = new.spec.max_attempts.unwrap_or(JobSpec::DEFAULT_MAX_ATTEMPTS);
                sqlx::query(concat!(
                    "insert into jobs (id, name, status, spec, warnings, priority, attempt, max_attempts, created_at, ",
                    "run_after, last_seq) values ($1, $2, 'queued', $3, $4, $5, 0, $6, ", $now, ", ", $now, ", 0)"
                ))
                .bind(new.id.as_str().to_owned())
                .bind(new.spec.name.clone())
                .bind(to_json(&new.spec)?)
                .bind(to_json(&new.warnings)?)
                .bind(i64::from(new.spec.priority))
                .bind(i64::from(attempts))
                .execute(&mut *tx)
                .await
                .map_err(database)?;
                let data = json!({"status": JobStatus::Queued});
                Self::append(&mut tx, new.id.as_str(), EventKind::StatusChanged, &data).await?;
                let row: JobRow = sqlx::query_as(concat!("select ", job_columns!(), " from jobs where id = $1"))
                    .bind(new.id.as_str().to_owned())
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(database)?;
                tx.commit().await.map_err(database)?;
                job(row)
            }

            async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
                let row: Option<JobRow> = sqlx::query_as(concat!("select ", job_columns!(), " from jobs where id = $1"))
                    .bind(id.as_str().to_owned())
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(database)?;
                row.map(job).transpose()
            }

            async fn list(&self, query: ListQuery) -> Result<Vec<Job>, StoreError> {
                let rows: Vec<JobRow> = sqlx::query_as(concat!(
                    "select ", job_columns!(), " from jobs ",
                    "where (cast($1 as text) is null or status = $1) ",
                    "and (cast($2 as bigint) is null or (created_at, id) < ($2, $3)) ",
                    "order by created_at desc, id desc limit $4"
                ))
                .bind(query.status.map(JobStatus::name))
                .bind(query.after.as_ref().map(|cursor| cursor.created_at))
                .bind(query.after.as_ref().map(|cursor| cursor.id.as_str().to_owned()))
                .bind(query.limit)
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(job).collect()
            }

            async fn events(&self, id: &JobId, after: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
                let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
                    "select seq, at, kind, data from events where job_id = $1 and seq > $2 order by seq limit $3",
                )
                .bind(id.as_str().to_owned())
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(|row| event(row, id.as_str())).collect()
            }

            async fn claim(&self, worker: &str, lease: Duration) -> Result<Option<Claim>, StoreError> {
                loop {
                    let mut tx = self.begin().await?;
                    let Some(row) = Self::waiting(&mut tx).await? else { return Ok(None) };
                    let lost = row.status != JobStatus::Queued.name();
                    if lost && row.attempt >= row.max_attempts {
                        Self::bury(&mut tx, &row).await?;
                        tx.commit().await.map_err(database)?;
                        continue;
                    }
                    let token = uuid::Uuid::now_v7().simple().to_string();
                    sqlx::query(concat!(
                        "update jobs set status = 'running', attempt = attempt + 1, worker = $2, lease_token = $3, ",
                        "lease_until = ", $now, " + $4, started_at = ", $now, ", phase = null, progress = null, ",
                        "error = null where id = $1"
                    ))
                    .bind(row.id.clone())
                    .bind(worker.to_owned())
                    .bind(token.clone())
                    .bind(milliseconds(lease))
                    .execute(&mut *tx)
                    .await
                    .map_err(database)?;
                    let attempt = row.attempt + 1;
                    let data = json!({"status": JobStatus::Running, "attempt": attempt, "worker": worker});
                    Self::append(&mut tx, &row.id, EventKind::StatusChanged, &data).await?;
                    tx.commit().await.map_err(database)?;
                    let corrupt = |column| StoreError::Corrupt { job: row.id.clone(), column };
                    let job = row.id.parse().map_err(|_| corrupt("id"))?;
                    let spec = from_json(&row.spec).ok_or_else(|| corrupt("spec"))?;
                    let max_attempts = row.max_attempts;
                    return Ok(Some(Claim { lease: Lease { job, token, attempt }, max_attempts, spec }));
                }
            }

            async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<bool, StoreError> {
                let done = sqlx::query(concat!(
                    "update jobs set lease_until = ", $now, " + $3 ",
                    "where id = $1 and lease_token = $2 and status in ('running', 'cancelling')"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.token.clone())
                .bind(milliseconds(length))
                .execute(&self.pool)
                .await
                .map_err(database)?;
                Ok(done.rows_affected() == 1)
            }

            async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError> {
                let mut tx = self.begin().await?;
                let (kind, data) = match &update {
                    Update::Phase(phase) => (Some(EventKind::Phase), json!({"phase": phase})),
                    Update::Progress(phase, progress) => {
                        let mut data = json!(progress);
                        data["phase"] = json!(phase);
                        (Some(EventKind::Progress), data)
                    }
                    Update::Plan(_) => (None, Value::Null),
                    Update::Warning(warning) => (Some(EventKind::Warning), json!(warning)),
                };
                let held: Option<(String,)> = sqlx::query_as(concat!(
                    "select warnings from jobs where id = $1 and lease_token = $2 ",
                    "and status in ('running', 'cancelling')"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.token.clone())
                .fetch_optional(&mut *tx)
                .await
                .map_err(database)?;
                let Some((warnings,)) = held else { return Ok(false) };
                let mut warnings: Vec<Warning> = from_json(&warnings).unwrap_or_default();
                let (mut phase, mut progress, mut plan) = (None, None, None);
                match update {
                    Update::Phase(name) => phase = Some(name),
                    Update::Progress(name, made) => (phase, progress) = (Some(name), Some(to_json(&made)?)),
                    Update::Plan(value) => plan = Some(to_json(&value)?),
                    // An earlier attempt may have told it already.
                    Update::Warning(warning) if warnings.contains(&warning) => return Ok(true),
                    Update::Warning(warning) => warnings.push(warning),
                }
                let done = sqlx::query(concat!(
                    "update jobs set warnings = $3, plan = coalesce($6, plan), phase = coalesce($4, phase), ",
                    // A new phase has made no progress yet.
                    "progress = case when $4 is null then progress else $5 end ",
                    "where id = $1 and lease_token = $2 and status in ('running', 'cancelling')"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.token.clone())
                .bind(to_json(&warnings)?)
                .bind(phase)
                .bind(progress)
                .bind(plan)
                .execute(&mut *tx)
                .await
                .map_err(database)?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                if let Some(kind) = kind {
                    Self::append(&mut tx, lease.job.as_str(), kind, &data).await?;
                }
                tx.commit().await.map_err(database)?;
                Ok(true)
            }

            async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError> {
                let mut tx = self.begin().await?;
                let (status, error, result, wait, uncounted) = match &how {
                    Finish::Succeeded(result) => (JobStatus::Succeeded, None, Some(result), None, 0),
                    Finish::Failed(failure) => (JobStatus::Failed, Some(failure), None, None, 0),
                    Finish::Retry(failure, wait) => (JobStatus::Queued, Some(failure), None, Some(*wait), 0),
                    Finish::TimedOut(failure) => (JobStatus::TimedOut, Some(failure), None, None, 0),
                    Finish::Released => (JobStatus::Queued, None, None, Some(Duration::ZERO), 1),
                };
                let done = sqlx::query(concat!(
                    "update jobs set status = $3, error = $4, result = $5, run_after = ", $now, " + $6, ",
                    "attempt = attempt - $7, lease_token = null, lease_until = null, worker = null, ",
                    "finished_at = case when $3 = 'queued' then null else ", $now, " end ",
                    "where id = $1 and lease_token = $2 and status in ('running', 'cancelling')"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.token.clone())
                .bind(status.name())
                .bind(error.map(to_json).transpose()?)
                .bind(result.map(to_json).transpose()?)
                .bind(milliseconds(wait.unwrap_or_default()))
                .bind(uncounted)
                .execute(&mut *tx)
                .await
                .map_err(database)?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                let mut data = json!({"status": status});
                if let Some(error) = error {
                    data["error"] = json!(error);
                }
                Self::append(&mut tx, lease.job.as_str(), EventKind::StatusChanged, &data).await?;
                tx.commit().await.map_err(database)?;
                Ok(true)
            }

            async fn end_all_leases(&self) -> Result<(), StoreError> {
                sqlx::query("update jobs set lease_until = 0 where lease_until is not null")
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                Ok(())
            }
        }
    };
}
pub(super) use job_store;

/// A duration as the statements take it.
pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
