//! What ending an attempt is made of.

/// Adds to `$store`, see [`shared!`](super::shared!).
macro_rules! finish {
    ($store:ident, $database:ty, now: $now:literal) => {
        impl $store {
            /// How the one who holds a lease should go on, given the rows that a statement on it found.
            fn held(row: Option<(String,)>) -> Held {
                match row {
                    None => Held::Lost,
                    Some((status,)) if status == JobStatus::Cancelling.name() => Held::Cancelled,
                    Some(_) => Held::Yes,
                }
            }

            /// Puts a task back to be taken again after a wait.
            async fn requeue(
                tx: &mut Tx<$database>,
                lease: &Lease,
                (wait, counted, needs): (Duration, bool, Option<u64>),
                error: Option<&Failure>,
            ) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "update tasks set status = 'waiting', run_after = ", $now, " + $3, attempt = attempt - $4, worker = null, ",
                    "lease_token = null, lease_until = null, units_done = 0, needs_bytes = coalesce($5, needs_bytes) ",
                    "where job_id = $1 and n = $2"
                ))
                .bind(lease.job.as_str().to_owned())
                .bind(lease.task)
                .bind(milliseconds(wait))
                .bind(i64::from(!counted))
                .bind(needs.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                tx.notifications.push(Notification::Queued);
                let (kind,): (String,) = sqlx::query_as("select kind from tasks where job_id = $1 and n = $2")
                    .bind(lease.job.as_str().to_owned())
                    .bind(lease.task)
                    .fetch_one(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                if kind != "whole" {
                    let Some(failure) = error else { return Ok(()) };
                    let note = format!("part {} is tried again: {}", lease.task, failure.message);
                    let data = json!(Warning::new(failure.code.clone(), note));
                    return Self::append(tx, lease.job.as_str(), EventKind::Warning, &data).await;
                }
                sqlx::query("update jobs set status = 'queued', error = $2, attempt = attempt - $3 where id = $1")
                    .bind(lease.job.as_str().to_owned())
                    .bind(error.map(to_json).transpose()?)
                    .bind(i64::from(!counted))
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                let mut data = json!({"status": JobStatus::Queued});
                if let Some(error) = error {
                    data["error"] = json!(error);
                }
                if let Some(bytes) = needs {
                    data["needs_bytes"] = json!(bytes);
                }
                Self::append(tx, lease.job.as_str(), EventKind::StatusChanged, &data).await
            }

            async fn fan_out(tx: &mut Tx<$database>, lease: &Lease, shards: &[u64]) -> Result<(), StoreError> {
                let join = shards.len() as i64 + 1;
                for n in 1..=join {
                    let units = shards.get(n as usize - 1).map_or(0, |&bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
                    let (kind, status) = if n == join { ("join", "blocked") } else { ("shard", "waiting") };
                    sqlx::query(concat!(
                        "insert into tasks (job_id, n, kind, status, tenant, backend, priority, created_at, attempt, ",
                        "max_attempts, run_after, units_done, units_total) select job_id, $2, $3, $4, tenant, backend, ",
                        "priority, created_at, 0, max_attempts, ", $now, ", 0, $5 from tasks where job_id = $1 and n = 0"
                    ))
                    .bind(lease.job.as_str().to_owned())
                    .bind(n)
                    .bind(kind)
                    .bind(status)
                    .bind(units)
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                    tx.notifications.push(Notification::Queued);
                }
                sqlx::query("delete from tasks where job_id = $1 and n = 0")
                    .bind(lease.job.as_str().to_owned())
                    .execute(&mut *tx.tx)
                    .await
                    .map_err(database)?;
                let data = json!({"phase": "quantizing", "shards": shards.len()});
                Self::append(tx, lease.job.as_str(), EventKind::Phase, &data).await
            }

            async fn shard_done(
                tx: &mut Tx<$database>,
                lease: &Lease,
                output: &Value,
                tasks: &[(i64, String, String, Option<String>)],
            ) -> Result<(), StoreError> {
                sqlx::query(
                    "update tasks set status = 'done', output = $3, units_done = units_total, worker = null, \
                     lease_token = null, lease_until = null where job_id = $1 and n = $2",
                )
                .bind(lease.job.as_str().to_owned())
                .bind(lease.task)
                .bind(to_json(output)?)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                // All tasks are locked: no other shard can be counted as missing that is done by now.
                let shards = tasks.iter().filter(|(_, kind, ..)| kind == "shard");
                let total = shards.clone().count();
                let done = shards.filter(|(n, _, status, _)| status == "done" || *n == lease.task).count();
                let data = json!({"shard": lease.task, "shards_done": done, "shards_total": total});
                Self::append(tx, lease.job.as_str(), EventKind::ShardCompleted, &data).await?;
                if done == total {
                    sqlx::query("update tasks set status = 'waiting' where job_id = $1 and kind = 'join'")
                        .bind(lease.job.as_str().to_owned())
                        .execute(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                    tx.notifications.push(Notification::Queued);
                }
                Ok(())
            }
        }
    };
}
pub(in crate::database) use finish;
