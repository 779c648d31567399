//! The statements of [`JobStore`](crate::job::JobStore).

/// Implements `JobStore` for `$store`, see [`shared!`](super::shared!).
macro_rules! job_store {
    ($store:ident, $database:ty, now: $now:literal, lock: $lock:literal) => {
        impl $store {
            /// One try at creating a job. `None`: someone was there between our looking and our writing; look again.
            async fn try_create(&self, new: &NewJob) -> Result<Option<Created>, StoreError> {
                let mut tx = self.begin().await?;
                if let Some(key) = &new.idempotency {
                    let known: Option<(String, String)> =
                        sqlx::query_as("select fingerprint, job_id from idempotency_keys where tenant = $1 and key = $2")
                            .bind(new.tenant.as_str().to_owned())
                            .bind(key.key.clone())
                            .fetch_optional(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                    if let Some((fingerprint, job)) = known {
                        return Ok(Some(if fingerprint == key.fingerprint {
                            Created::Replayed(Self::row(&mut tx, &job).await?)
                        } else {
                            Created::KeyReused
                        }));
                    }
                }
                if let Some(name) = &new.spec.name {
                    let namesake: Option<(String,)> =
                        sqlx::query_as("select id from jobs where tenant = $1 and name = $2")
                            .bind(new.tenant.as_str().to_owned())
                            .bind(name.clone())
                            .fetch_optional(&mut *tx.tx)
                            .await
                            .map_err(database)?;
                    if let Some(id) = namesake.and_then(|(id,)| id.parse().ok()) {
                        return Ok(Some(Created::NameTaken(id)));
                    }
                }
                let inserted: Result<JobRow, sqlx::Error> = sqlx::query_as(concat!(
                    "insert into jobs (id, tenant, name, status, spec, backend, warnings, priority, attempt, ",
                    "max_attempts, created_at, last_seq) values ($1, $2, $3, 'queued', $4, $5, $6, $7, 0, $8, ",
                    $now,
                    ", 1) returning ",
                    job_columns!()
                ))
                .bind(new.id.as_str().to_owned())
                .bind(new.tenant.as_str().to_owned())
                .bind(new.spec.name.clone())
                .bind(to_json(&new.spec)?)
                .bind(new.backend)
                .bind(to_json(&new.warnings)?)
                .bind(i64::from(new.spec.priority))
                .bind(i64::from(new.spec.attempts()))
                .fetch_one(&mut *tx.tx)
                .await;
                if is_unique_violation(&inserted) {
                    return Ok(None);
                }
                let job = crate::database::row::job(inserted.map_err(database)?)?;
                if let Some(key) = &new.idempotency {
                    let inserted = sqlx::query(concat!(
                        "insert into idempotency_keys (tenant, key, fingerprint, job_id, created_at) ",
                        "values ($1, $2, $3, $4, ", $now, ")"
                    ))
                    .bind(new.tenant.as_str().to_owned())
                    .bind(key.key.clone())
                    .bind(key.fingerprint.clone())
                    .bind(new.id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await;
                    if is_unique_violation(&inserted) {
                        return Ok(None);
                    }
                    inserted.map_err(database)?;
                }
                Self::label(&mut tx, new.id.as_str(), &new.spec).await?;
                Self::enqueue(&mut tx, new.id.as_str(), new.backend).await?;
                let data = json!({"status": JobStatus::Queued});
                Self::record(&mut tx, new.id.as_str(), 1, EventKind::StatusChanged, &data).await?;
                self.commit(tx).await?;
                Ok(Some(Created::New(job)))
            }

            async fn label(tx: &mut Tx<$database>, job: &str, spec: &JobSpec) -> Result<(), StoreError> {
                for (key, value) in &spec.labels {
                    sqlx::query("insert into job_labels (job_id, key, value) values ($1, $2, $3)")
                        .bind(job.to_owned())
                        .bind(key.clone())
                        .bind(value.clone())
                        .execute(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                }
                Ok(())
            }

            /// A tenant's job, if it is at the version wanted and stands as `fit` wants, locked with its tasks.
            async fn to_change(
                tx: &mut Tx<$database>,
                (tenant, id): (&Tenant, &JobId),
                version: Option<i64>,
                fit: fn(JobStatus) -> bool,
            ) -> Result<Result<Job, Changed>, StoreError> {
                Self::lock_tasks(tx, id.as_str()).await?;
                let row: Option<JobRow> = sqlx::query_as(concat!(
                    "select ", job_columns!(), " from jobs where id = $1 and tenant = $2 ", $lock
                ))
                .bind(id.as_str().to_owned())
                .bind(tenant.as_str().to_owned())
                .fetch_optional(&mut *tx.tx)
                .await
                .map_err(database)?;
                let Some(job) = row.map(crate::database::row::job).transpose()? else { return Ok(Err(Changed::Missing)) };
                Ok(match version {
                    Some(version) if version != job.version => Err(Changed::Stale),
                    _ if !fit(job.status) => Err(Changed::Refused(job.status)),
                    _ => Ok(job),
                })
            }
        }

        #[async_trait::async_trait]
        impl JobStore for $store {
            async fn create(&self, new: NewJob) -> Result<Created, StoreError> {
                loop {
                    if let Some(created) = self.try_create(&new).await? {
                        return Ok(created);
                    }
                }
            }

            async fn get(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Job>, StoreError> {
                let row: Option<JobRow> =
                    sqlx::query_as(concat!("select ", job_columns!(), " from jobs where id = $1 and tenant = $2"))
                        .bind(id.as_str().to_owned())
                        .bind(tenant.as_str().to_owned())
                        .fetch_optional(&self.pool)
                        .await
                        .map_err(database)?;
                row.map(crate::database::row::job).transpose()
            }

            async fn plan(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Value>, StoreError> {
                let row: Option<(Option<String>,)> =
                    sqlx::query_as("select plan from jobs where id = $1 and tenant = $2")
                        .bind(id.as_str().to_owned())
                        .bind(tenant.as_str().to_owned())
                        .fetch_optional(&self.pool)
                        .await
                        .map_err(database)?;
                let Some(text) = row.and_then(|(plan,)| plan) else { return Ok(None) };
                let corrupt = || StoreError::Corrupt { row: id.to_string(), column: "plan" };
                from_json(&text).ok_or_else(corrupt).map(Some)
            }

            async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Job>, StoreError> {
                let rows: Vec<JobRow> = sqlx::query_as(concat!(
                    "select ", job_columns!(), " from jobs where tenant = $1 ",
                    "and (cast($2 as text) is null or status = $2) ",
                    "and (cast($3 as bigint) is null or (created_at, id) < ($3, $4)) ",
                    "and (cast($5 as text) is null or backend = $5) and (cast($6 as text) is null or name = $6) ",
                    "and (cast($7 as text) is null or exists (select 1 from job_labels l where l.job_id = jobs.id ",
                    "and l.key = $7 and l.value = $8)) ",
                    "and (cast($9 as bigint) is null or created_at >= $9) ",
                    "and (cast($10 as bigint) is null or created_at < $10) ",
                    "order by created_at desc, id desc limit $11"
                ))
                .bind(tenant.as_str().to_owned())
                .bind(query.status.map(JobStatus::name))
                .bind(query.after.as_ref().map(|cursor| cursor.created_at))
                .bind(query.after.as_ref().map(|cursor| cursor.id.as_str().to_owned()))
                .bind(query.backend)
                .bind(query.name)
                .bind(query.label.as_ref().map(|(key, _)| key.clone()))
                .bind(query.label.map(|(_, value)| value))
                .bind(query.created_after)
                .bind(query.created_before)
                .bind(query.limit)
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(crate::database::row::job).collect()
            }

            async fn events(
                &self,
                tenant: &Tenant,
                id: &JobId,
                after: i64,
                limit: i64,
            ) -> Result<Vec<Event>, StoreError> {
                let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(concat!(
                    "select seq, at, kind, data from events where job_id = $1 and seq > $2 ",
                    "and exists (select 1 from jobs where id = $1 and tenant = $3) order by seq limit $4"
                ))
                .bind(id.as_str().to_owned())
                .bind(after)
                .bind(tenant.as_str().to_owned())
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(|row| event(row, id.as_str())).collect()
            }

            async fn cancel(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError> {
                let mut tx = self.begin().await?;
                let may_end = |status| !matches!(status, JobStatus::Succeeded | JobStatus::Failed | JobStatus::TimedOut);
                let job = match Self::to_change(&mut tx, (tenant, id), version, may_end).await? {
                    Ok(job) => job,
                    Err(why) => return rolled_back(tx, why).await,
                };
                if matches!(job.status, JobStatus::Cancelling | JobStatus::Cancelled) {
                    return rolled_back(tx, Changed::Done(Box::new(job))).await;
                }
                sqlx::query("delete from tasks where job_id = $1 and status <> 'running'")
                    .bind(id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                sqlx::query(concat!("update jobs set status = 'cancelling', cancel_requested_at = ", $now, " where id = $1"))
                    .bind(id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
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

            async fn retry(
                &self,
                tenant: &Tenant,
                id: &JobId,
                version: Option<i64>,
                with: NewJob,
            ) -> Result<Changed, StoreError> {
                let mut tx = self.begin().await?;
                match Self::to_change(&mut tx, (tenant, id), version, JobStatus::may_be_retried).await? {
                    Ok(_) => {}
                    Err(why) => return rolled_back(tx, why).await,
                }
                sqlx::query(concat!(
                    "update jobs set status = 'queued', spec = $2, backend = $3, warnings = $4, priority = $5, ",
                    "max_attempts = $6, attempt = 0, phase = null, progress = null, plan = null, error = null, ",
                    "started_at = null, finished_at = null, cancel_requested_at = null where id = $1"
                ))
                .bind(id.as_str().to_owned())
                .bind(to_json(&with.spec)?)
                .bind(with.backend)
                .bind(to_json(&with.warnings)?)
                .bind(i64::from(with.spec.priority))
                .bind(i64::from(with.spec.attempts()))
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                sqlx::query("delete from job_labels where job_id = $1")
                    .bind(id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                Self::label(&mut tx, id.as_str(), &with.spec).await?;
                Self::enqueue(&mut tx, id.as_str(), with.backend).await?;
                let data = json!({"status": JobStatus::Queued, "retried": true});
                Self::append(&mut tx, id.as_str(), EventKind::StatusChanged, &data).await?;
                let job = Self::row(&mut tx, id.as_str()).await?;
                self.commit(tx).await?;
                Ok(Changed::Done(Box::new(job)))
            }

            async fn delete(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError> {
                let mut tx = self.begin().await?;
                let job = match Self::to_change(&mut tx, (tenant, id), version, JobStatus::is_terminal).await? {
                    Ok(job) => job,
                    Err(why) => return rolled_back(tx, why).await,
                };
                sqlx::query("insert into garbage (job_id) values ($1) on conflict (job_id) do nothing")
                    .bind(id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                sqlx::query("delete from jobs where id = $1")
                    .bind(id.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                tx.notifications.push(Notification::Event(id.clone()));
                self.commit(tx).await?;
                Ok(Changed::Done(Box::new(job)))
            }

            async fn stats(&self) -> Result<QueueStats, StoreError> {
                let jobs: Vec<(String, i64)> = sqlx::query_as("select status, count(*) from jobs group by status")
                    .fetch_all(&self.pool)
                    .await
                    .map_err(database)?;
                let tasks: (i64, i64, i64) = sqlx::query_as(concat!(
                    "select count(case when status = 'waiting' then 1 end), count(case when status = 'running' then 1 end), ",
                    "coalesce(", $now, " - min(case when status = 'waiting' and run_after <= ", $now,
                    " then run_after end), 0) from tasks"
                ))
                .fetch_one(&self.pool)
                .await
                .map_err(database)?;
                let (workers,): (i64,) =
                    sqlx::query_as(concat!("select count(*) from workers where seen_at > ", $now, " - 60000"))
                        .fetch_one(&self.pool)
                        .await
                        .map_err(database)?;
                Ok(QueueStats {
                    jobs: jobs.into_iter().collect(),
                    tasks_waiting: tasks.0,
                    tasks_running: tasks.1,
                    oldest_wait: tasks.2.max(0),
                    workers,
                })
            }

            async fn ping(&self) -> Result<(), StoreError> {
                // A table of ours: a database that answers and was not migrated is of no use.
                sqlx::query("select 1 from jobs limit 1").fetch_optional(&self.pool).await.map_err(database)?;
                Ok(())
            }

            fn notifications(&self) -> NotificationStream {
                stream_of(&self.notifications)
            }
        }
    };
}
pub(in crate::database) use job_store;
