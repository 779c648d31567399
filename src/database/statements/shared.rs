//! What jobs and queue share: the event log, and how a job ends.

/// Adds to `$store`, which has a `pool` and async functions `begin` and `commit` of a [`Tx`](super::Tx). `$now` is the
/// dialect's clock in milliseconds, `$lock` what keeps rows for a transaction.
macro_rules! shared {
    ($store:ident, $database:ty, now: $now:literal, lock: $lock:literal) => {
        impl $store {
            /// Appends an event inside the transaction that made it true.
            async fn append(
                tx: &mut Tx<$database>,
                job: &str,
                kind: EventKind,
                data: &Value,
            ) -> Result<(), StoreError> {
                let (seq,): (i64,) =
                    sqlx::query_as("update jobs set last_seq = last_seq + 1 where id = $1 returning last_seq")
                        .bind(job.to_owned())
                        .fetch_one(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                Self::record(tx, job, seq, kind, data).await
            }

            /// Writes the event of a job whose newest number is this one, and a delivery for each webhook that wants it.
            async fn record(
                tx: &mut Tx<$database>,
                job: &str,
                seq: i64,
                kind: EventKind,
                data: &Value,
            ) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "insert into events (job_id, seq, at, kind, data) values ($1, $2, ", $now, ", $3, $4)"
                ))
                .bind(job.to_owned())
                .bind(seq)
                .bind(kind.name())
                .bind(to_json(data)?)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                if kind != EventKind::Progress {
                    let queued = sqlx::query(concat!(
                        "insert into deliveries (id, webhook_id, job_id, seq, kind, body, status, attempts, next_at, ",
                        "created_at) select w.id || '.' || $1 || '.' || cast($2 as text), w.id, $1, $2, $3, $4, 'pending', ",
                        "0, ", $now, ", ", $now, " from webhooks w join jobs j on j.tenant = w.tenant ",
                        "where j.id = $1 and w.events like '%,' || $3 || ',%'"
                    ))
                    .bind(job.to_owned())
                    .bind(seq)
                    .bind(kind.name())
                    .bind(to_json(data)?)
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                    if queued.rows_affected() > 0 {
                        tx.notifications.push(Notification::Delivery);
                    }
                }
                if let Ok(id) = job.parse() {
                    tx.notifications.push(Notification::Event(id));
                }
                Ok(())
            }

            /// Locks the tasks of a job, in order. Their kinds and states.
            async fn lock_tasks(
                tx: &mut Tx<$database>,
                job: &str,
            ) -> Result<Vec<(i64, String, String, Option<String>)>, StoreError> {
                sqlx::query_as(concat!(
                    "select n, kind, status, lease_token from tasks where job_id = $1 order by n ", $lock
                ))
                .bind(job.to_owned())
                .fetch_all(&mut *tx.tx)
                .await
                .map_err(database)
            }

            /// Ends a job whose tasks are locked.
            async fn end(
                tx: &mut Tx<$database>,
                job: &str,
                status: JobStatus,
                error: Option<&Failure>,
                result: Option<&JobResult>,
            ) -> Result<(), StoreError> {
                sqlx::query("delete from tasks where job_id = $1")
                    .bind(job.to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                sqlx::query(concat!(
                    "update jobs set status = $2, error = $3, result = $4, finished_at = ", $now, " where id = $1"
                ))
                .bind(job.to_owned())
                .bind(status.name())
                .bind(error.map(to_json).transpose()?)
                .bind(result.map(to_json).transpose()?)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                let mut data = json!({"status": status});
                if let Some(error) = error {
                    data["error"] = json!(error);
                }
                Self::append(tx, job, EventKind::StatusChanged, &data).await
            }

            /// The row of a job that is there.
            async fn row(tx: &mut Tx<$database>, job: &str) -> Result<Job, StoreError> {
                let row: JobRow = sqlx::query_as(concat!("select ", job_columns!(), " from jobs where id = $1"))
                    .bind(job.to_owned())
                    .fetch_one(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                crate::database::row::job(row)
            }

            /// Queues the one task of a job.
            async fn enqueue(tx: &mut Tx<$database>, job: &str, backend: &str) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "insert into tasks (job_id, n, kind, status, tenant, backend, priority, created_at, attempt, ",
                    "max_attempts, run_after, units_done, units_total) select id, 0, 'whole', 'waiting', tenant, $2, ",
                    "priority, created_at, 0, max_attempts, ", $now, ", 0, 0 from jobs where id = $1"
                ))
                .bind(job.to_owned())
                .bind(backend.to_owned())
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                tx.notifications.push(Notification::Queued);
                Ok(())
            }
        }
    };
}
pub(in crate::database) use shared;
