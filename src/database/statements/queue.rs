//! The statements of [`Queue`](crate::job::Queue).

/// Implements `Queue` for `$store`, see [`shared!`](super::shared!), [`claim!`](super::claim!) and [`finish!`](super::finish!).
macro_rules! queue {
    ($store:ident, $database:ty, now: $now:literal, lock: $lock:literal) => {
        #[async_trait::async_trait]
        impl Queue for $store {
            async fn claim(&self, worker: &Worker, lease: Duration) -> Result<Option<Claim>, StoreError> {
                loop {
                    let mut tx = self.begin().await?;
                    let Some(next) = Self::next_task(&mut tx, worker).await? else { return rolled_back(tx, None).await };
                    let lost = next.status == "running";
                    if next.job_status == JobStatus::Cancelling.name() {
                        // Its worker died before it heard.
                        Self::stop_task(&mut tx, &next.job, next.n).await?;
                        self.commit(tx).await?;
                        continue;
                    }
                    if lost && next.attempt >= next.max_attempts {
                        let message = format!("the worker was lost in each of {} attempts", next.attempt);
                        let failure = Failure::plain(FaultCode::WorkerLost, message)
                            .with_hint("it may need more memory than its workers have; their logs tell more");
                        Self::end(&mut tx, &next.job, JobStatus::Failed, Some(&failure), None).await?;
                        self.commit(tx).await?;
                        continue;
                    }
                    if let Some(limit) = worker.tenant_limit {
                        if !Self::has_place(&mut tx, &next.tenant, limit).await? {
                            rolled_back(tx, ()).await?;
                            continue;
                        }
                    }
                    let token = uuid::Uuid::now_v7().simple().to_string();
                    Self::take(&mut tx, &next, worker, &token, lease).await?;
                    let work = Self::work(&mut tx, &next).await?;
                    self.commit(tx).await?;
                    return next.claim(token, work).map(Some);
                }
            }

            async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<Held, StoreError> {
                let row = sqlx::query_as(concat!(
                    "update tasks set lease_until = ", $now, " + $4 where job_id = $1 and n = $2 and lease_token = $3 ",
                    "returning (select status from jobs where id = $1)"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.task)
                .bind(lease.token.clone())
                .bind(milliseconds(length))
                .fetch_optional(&self.pool)
                .await
                .map_err(database)?;
                Ok(Self::held(row))
            }

            async fn watch(&self, lease: &Lease) -> Result<Held, StoreError> {
                let row = sqlx::query_as(
                    "select j.status from tasks t join jobs j on j.id = t.job_id \
                     where t.job_id = $1 and t.n = $2 and t.lease_token = $3",
                )
                .bind(lease.job.as_str().to_owned())
                .bind(lease.task)
                .bind(lease.token.clone())
                .fetch_optional(&self.pool)
                .await
                .map_err(database)?;
                Ok(Self::held(row))
            }

            async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError> {
                let mut tx = self.begin().await?;
                let (done, total) = match &update {
                    Update::Progress(_, made) => (Some(made.units_done as i64), Some(made.units_total as i64)),
                    _ => (None, None),
                };
                // Locks the task: whoever takes it over waits, and whoever has taken it over makes this find nothing.
                let mine = sqlx::query(
                    "update tasks set units_done = coalesce($4, units_done), units_total = coalesce($5, units_total) \
                     where job_id = $1 and n = $2 and lease_token = $3",
                )
                .bind(lease.job.as_str().to_owned())
                .bind(lease.task)
                .bind(lease.token.clone())
                .bind(done)
                .bind(total)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                if mine.rows_affected() == 0 {
                    return rolled_back(tx, false).await;
                }
                let job = lease.job.as_str();
                match update {
                    Update::Phase(phase) => {
                        sqlx::query("update jobs set phase = $2, progress = null where id = $1")
                            .bind(job.to_owned())
                            .bind(phase.clone())
                            .execute(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        Self::append(&mut tx, job, EventKind::Phase, &json!({"phase": phase})).await?;
                    }
                    Update::Progress(phase, mut made) => {
                        let all: (i64, i64, i64) = sqlx::query_as(
                            "select cast(coalesce(sum(units_done), 0) as bigint), \
                             cast(coalesce(sum(units_total), 0) as bigint), count(*) from tasks where job_id = $1",
                        )
                        .bind(job.to_owned())
                        .fetch_one(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                        if all.2 > 1 {
                            (made.units_done, made.units_total) = (all.0.max(0) as u64, all.1.max(0) as u64);
                            made.eta_seconds = None;
                        }
                        sqlx::query("update jobs set phase = $2, progress = $3 where id = $1")
                            .bind(job.to_owned())
                            .bind(phase.clone())
                            .bind(to_json(&made)?)
                            .execute(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        let mut data = json!(made);
                        data["phase"] = json!(phase);
                        Self::append(&mut tx, job, EventKind::Progress, &data).await?;
                    }
                    Update::Plan(plan) => {
                        let known: (Option<String>,) = sqlx::query_as("select plan from jobs where id = $1")
                            .bind(job.to_owned())
                            .fetch_one(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        let text = to_json(&plan)?;
                        if known.0.as_deref() == Some(text.as_str()) {
                            return rolled_back(tx, true).await;
                        }
                        sqlx::query("update jobs set plan = $2 where id = $1")
                            .bind(job.to_owned())
                            .bind(text)
                            .execute(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        let layers = plan["plan"]["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
                        let quantized = layers.iter().filter(|layer| layer["decision"] == "quantize").count();
                        let data =
                            json!({"layers_quantized": quantized, "layers_native": layers.len() - quantized});
                        Self::append(&mut tx, job, EventKind::Planned, &data).await?;
                    }
                    Update::Warning(warning) => {
                        let (known,): (String,) = sqlx::query_as(concat!("select warnings from jobs where id = $1 ", $lock))
                            .bind(job.to_owned())
                            .fetch_one(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        let mut warnings: Vec<Warning> = from_json(&known).unwrap_or_default();
                        // An earlier attempt may have told it already.
                        if warnings.contains(&warning) {
                            return rolled_back(tx, true).await;
                        }
                        warnings.push(warning.clone());
                        sqlx::query("update jobs set warnings = $2 where id = $1")
                            .bind(job.to_owned())
                            .bind(to_json(&warnings)?)
                            .execute(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                        Self::append(&mut tx, job, EventKind::Warning, &json!(warning)).await?;
                    }
                }
                self.commit(tx).await?;
                Ok(true)
            }

            async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError> {
                let mut tx = self.begin().await?;
                let job = lease.job.as_str();
                let tasks = Self::lock_tasks(&mut tx, job).await?;
                if !tasks.iter().any(|(n, _, _, token)| *n == lease.task && token.as_deref() == Some(&lease.token)) {
                    return rolled_back(tx, false).await;
                }
                let (status,): (String,) = sqlx::query_as(concat!("select status from jobs where id = $1 ", $lock))
                    .bind(job.to_owned())
                    .fetch_one(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                let cancelled = status == JobStatus::Cancelling.name();
                match &how {
                    Finish::Succeeded(result) => Self::end(&mut tx, job, JobStatus::Succeeded, None, Some(result)).await?,
                    Finish::Failed(failure) => Self::end(&mut tx, job, JobStatus::Failed, Some(failure), None).await?,
                    Finish::TimedOut(failure) => Self::end(&mut tx, job, JobStatus::TimedOut, Some(failure), None).await?,
                    // What would go on ends here, if it was asked to.
                    _ if cancelled => Self::stop_task(&mut tx, job, lease.task).await?,
                    Finish::Cancelled => {
                        // By a worker that was told to stop by something else than the job's status.
                        Self::requeue(&mut tx, lease, (Duration::ZERO, true, None), None).await?;
                    }
                    Finish::Retry(failure, wait) => {
                        Self::requeue(&mut tx, lease, (*wait, true, None), Some(failure)).await?;
                    }
                    Finish::Released => Self::requeue(&mut tx, lease, (Duration::ZERO, false, None), None).await?,
                    Finish::TooSmall { needs_bytes } => {
                        Self::requeue(&mut tx, lease, (Duration::ZERO, false, Some(*needs_bytes)), None).await?;
                    }
                    Finish::FanOut(shards) => Self::fan_out(&mut tx, lease, shards).await?,
                    Finish::ShardDone(output) => Self::shard_done(&mut tx, lease, output, &tasks).await?,
                }
                self.commit(tx).await?;
                Ok(true)
            }

            async fn end_all_leases(&self) -> Result<(), StoreError> {
                sqlx::query("update tasks set lease_until = 0 where lease_until is not null")
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                Ok(())
            }

            async fn announce(&self, worker: &Worker) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "insert into workers (name, memory_bytes, backends, seen_at) values ($1, $2, $3, ", $now, ") ",
                    "on conflict (name) do update set memory_bytes = excluded.memory_bytes, backends = excluded.backends, ",
                    "seen_at = excluded.seen_at"
                ))
                .bind(worker.name.clone())
                .bind(worker.memory_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
                .bind(format!(",{},", worker.backends.join(",")))
                .execute(&self.pool)
                .await
                .map_err(database)?;
                Ok(())
            }

            async fn unregister(&self, worker: &str) -> Result<(), StoreError> {
                sqlx::query("delete from workers where name = $1")
                    .bind(worker.to_owned())
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                Ok(())
            }

            async fn capable_workers(&self, backend: &str, bytes: u64) -> Result<u64, StoreError> {
                let (count,): (i64,) = sqlx::query_as(concat!(
                    "select count(*) from workers where seen_at > ", $now, " - 60000 and backends like $1 ",
                    "and (memory_bytes is null or memory_bytes >= $2)"
                ))
                .bind(format!("%,{backend},%"))
                .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
                .fetch_one(&self.pool)
                .await
                .map_err(database)?;
                Ok(count.max(0) as u64)
            }

            async fn footprint(&self, id: &JobId) -> Result<Option<JobFootprint>, StoreError> {
                let row: Option<JobRow> = sqlx::query_as(concat!("select ", job_columns!(), " from jobs where id = $1"))
                    .bind(id.as_str().to_owned())
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(database)?;
                let Some(job) = row.map(crate::database::row::job).transpose()? else { return Ok(None) };
                let kept = job.result.as_ref().filter(|_| job.artifacts_expired_at.is_none());
                let keys = kept.map(JobResult::keys).unwrap_or_default();
                let rows: Vec<(String,)> =
                    sqlx::query_as("select output from tasks where job_id = $1 and output is not null")
                        .bind(id.as_str().to_owned())
                        .fetch_all(&self.pool)
                        .await
                        .map_err(database)?;
                let outputs = rows.iter().filter_map(|(text,)| from_json(text)).collect();
                Ok(Some(JobFootprint { ended: job.status.is_terminal(), keys, outputs }))
            }

            async fn to_sweep(&self, ended_within: Duration) -> Result<Vec<JobId>, StoreError> {
                let rows: Vec<(String,)> = sqlx::query_as(concat!(
                    "select job_id from garbage union select id from jobs where finished_at > ", $now, " - $1"
                ))
                .bind(milliseconds(ended_within))
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
            }

            async fn swept(&self, job: &JobId) -> Result<(), StoreError> {
                sqlx::query("delete from garbage where job_id = $1")
                    .bind(job.as_str().to_owned())
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                Ok(())
            }

            async fn expire(&self, age: Duration, limit: i64) -> Result<Vec<JobId>, StoreError> {
                let mut tx = self.begin().await?;
                let rows: Vec<(String,)> = sqlx::query_as(concat!(
                    "update jobs set artifacts_expired_at = ", $now, " where id in (select id from jobs where ",
                    "result is not null and artifacts_expired_at is null and finished_at < ", $now, " - $1 ",
                    "order by id limit $2 ", $lock, ") returning id"
                ))
                .bind(milliseconds(age))
                .bind(limit)
                .fetch_all(&mut *tx.tx)
                .await
                .map_err(database)?;
                for (job,) in &rows {
                    Self::append(&mut tx, job, EventKind::ArtifactsExpired, &json!({})).await?;
                }
                self.commit(tx).await?;
                Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
            }

            async fn prune(&self, events: Option<Duration>, keys: Duration) -> Result<(), StoreError> {
                if let Some(age) = events {
                    sqlx::query(concat!(
                        "delete from events where kind <> 'job.status_changed' and job_id in ",
                        "(select id from jobs where finished_at < ", $now, " - $1)"
                    ))
                    .bind(milliseconds(age))
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                }
                for statement in [
                    concat!("delete from idempotency_keys where created_at < ", $now, " - $1"),
                    concat!("delete from deliveries where status <> 'pending' and created_at < ", $now, " - $1"),
                    concat!("delete from workers where seen_at < ", $now, " - $1"),
                ] {
                    sqlx::query(statement).bind(milliseconds(keys)).execute(&self.pool).await.map_err(database)?;
                }
                Ok(())
            }
        }
    };
}
pub(in crate::database) use queue;
