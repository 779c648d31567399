//! What taking a task is made of.

/// Adds to `$store`, see [`shared!`](super::shared!). `$skip` lets two claims pass each other, `$lock_tenant` lets those of
/// one tenant wait for each other.
macro_rules! claim {
    ($store:ident, $database:ty, now: $now:literal, skip: $skip:literal, lock_tenant: $lock_tenant:literal) => {
        impl $store {
            /// The next task that a worker may take: one that lost its worker, else the first that waits.
            async fn next_task(tx: &mut Tx<$database>, worker: &Worker) -> Result<Option<Next>, StoreError> {
                /// `$1` is the worker's memory, `$2` its backends, `$3` the limit of tasks of a tenant.
                macro_rules! next {
                    ($where:expr) => {
                        concat!(
                            "select t.job_id, t.n, t.kind, t.status, t.attempt, t.max_attempts, t.tenant, j.status, ",
                            "j.spec, j.plan, coalesce(j.started_at, 0), ", $now, " from tasks t join jobs j on j.id = t.job_id ",
                            "where ", $where, " and (t.needs_bytes is null or cast($1 as bigint) is null ",
                            "or t.needs_bytes <= $1) and $2 like '%,' || t.backend || ',%' ",
                            "and (cast($3 as bigint) is null or (select count(*) from tasks r where r.tenant = t.tenant ",
                            "and r.status = 'running' and r.lease_until >= ", $now, ") < $3) ",
                            "order by t.priority desc, t.created_at, t.job_id, t.n limit 1 ", $skip
                        )
                    };
                }
                const LOST: &str = next!(concat!("t.status = 'running' and t.lease_until < ", $now));
                const WAITING: &str = next!(concat!("t.status = 'waiting' and t.run_after <= ", $now));
                let backends = format!(",{},", worker.backends.join(","));
                let limit = worker.tenant_limit.map(i64::from);
                let memory = worker.memory_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
                for statement in [LOST, WAITING] {
                    let row: Option<NextRow> = sqlx::query_as(statement)
                        .bind(memory)
                        .bind(backends.clone())
                        .bind(limit)
                        .fetch_optional(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                    if let Some(row) = row {
                        return Ok(Some(Next::from(row)));
                    }
                }
                Ok(None)
            }

            /// Whether a tenant has a place left for one more task, so that none of two claims at once goes beyond.
            async fn has_place(tx: &mut Tx<$database>, tenant: &str, limit: u32) -> Result<bool, StoreError> {
                sqlx::query($lock_tenant).bind(tenant.to_owned()).execute(&mut *tx.tx).await.map_err(database)?;
                let (running,): (i64,) = sqlx::query_as(concat!(
                    "select count(*) from tasks where tenant = $1 and status = 'running' and lease_until >= ", $now
                ))
                .bind(tenant.to_owned())
                .fetch_one(&mut *tx.tx)
                .await
                .map_err(database)?;
                Ok(running < i64::from(limit))
            }

            /// Takes a task away from a job that was asked to stop; with its last one, the job ends.
            async fn stop_task(tx: &mut Tx<$database>, job: &str, task: i64) -> Result<(), StoreError> {
                sqlx::query("delete from tasks where job_id = $1 and (n = $2 or status <> 'running')")
                    .bind(job.to_owned())
                    .bind(task)
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                if Self::lock_tasks(tx, job).await?.is_empty() {
                    Self::end(tx, job, JobStatus::Cancelled, None, None).await?;
                }
                Ok(())
            }

            async fn take(
                tx: &mut Tx<$database>,
                next: &Next,
                worker: &Worker,
                token: &str,
                lease: Duration,
            ) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "update tasks set status = 'running', attempt = attempt + 1, worker = $3, lease_token = $4, ",
                    "lease_until = ", $now, " + $5 where job_id = $1 and n = $2"
                ))
                .bind(next.job.clone())
                .bind(next.n)
                .bind(worker.name.clone())
                .bind(token.to_owned())
                .bind(milliseconds(lease))
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                if next.kind != "whole" {
                    return Ok(());
                }
                sqlx::query(concat!(
                    "update jobs set status = 'running', attempt = $2, started_at = ", $now,
                    ", phase = null, progress = null, error = null where id = $1"
                ))
                .bind(next.job.clone())
                .bind(next.attempt + 1)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                let data = json!({"status": JobStatus::Running, "attempt": next.attempt + 1, "worker": worker.name});
                Self::append(tx, &next.job, EventKind::StatusChanged, &data).await
            }

            async fn work(tx: &mut Tx<$database>, next: &Next) -> Result<Work, StoreError> {
                let corrupt = |column| StoreError::Corrupt { row: next.job.clone(), column };
                let plan = || next.plan.as_deref().and_then(from_json).ok_or_else(|| corrupt("plan"));
                Ok(match next.kind.as_str() {
                    "whole" => Work::Whole,
                    "shard" => Work::Shard { index: usize::try_from(next.n - 1).unwrap_or(0), plan: plan()? },
                    _ => {
                        let rows: Vec<(Option<String>,)> = sqlx::query_as(
                            "select output from tasks where job_id = $1 and kind = 'shard' order by n",
                        )
                        .bind(next.job.clone())
                        .fetch_all(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                        let output = |(text,): (Option<String>,)| {
                            text.as_deref().and_then(from_json).ok_or_else(|| corrupt("tasks.output"))
                        };
                        Work::Join { plan: plan()?, outputs: rows.into_iter().map(output).collect::<Result<_, _>>()? }
                    }
                })
            }
        }
    };
}
pub(in crate::database) use claim;
