//! Jobs that are done in parts: a task for each shard, and one that joins them.

use serde_json::json;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::{TaskRow, to_json},
        tx::bytes,
    },
    job::{EventKind, Lease, Notification, ShardOutput, StoreError},
};

impl Store {
    /// Replaces a job's one task by one for each shard of so many bytes, and one that joins them.
    pub(super) async fn fan_out(tx: &mut Tx, lease: &Lease, shards: &[u64]) -> Result<(), StoreError> {
        let job = lease.job.as_str();
        let shard = |size: &u64| ("shard", "waiting", bytes(*size));
        let tasks = shards.iter().map(shard).chain([("join", "blocked", 0)]);
        for (n, (kind, status, units)) in (1_i64..).zip(tasks) {
            sqlx::query(sql!(
                "insert into tasks
                   (job_id, n, kind, status, tenant, backend, priority, created_at, attempt, max_attempts, run_after,
                    units_done, units_total)
                 select job_id, $2, $3, $4, tenant, backend, priority, created_at, 0, max_attempts, {now}, 0, $5
                 from tasks
                 where job_id = $1 and n = 0"
            ))
            .bind(job)
            .bind(n)
            .bind(kind)
            .bind(status)
            .bind(units)
            .execute(tx.conn())
            .await?;
            tx.notifications.push(Notification::Queued);
        }
        sqlx::query(sql!("delete from tasks where job_id = $1 and n = 0")).bind(job).execute(tx.conn()).await?;
        let data = json!({"phase": "quantizing", "shards": shards.len()});
        Self::append(tx, job, EventKind::Phase, &data).await
    }

    /// Keeps what a shard's task leaves; with the last one, the join may begin. `tasks` are all of the job's, locked.
    pub(super) async fn shard_done(
        tx: &mut Tx,
        lease: &Lease,
        output: &ShardOutput,
        tasks: &[TaskRow],
    ) -> Result<(), StoreError> {
        let job = lease.job.as_str();
        sqlx::query(sql!(
            "update tasks
             set status = 'done', output = $3, units_done = units_total,
                 worker = null, lease_token = null, lease_until = null
             where job_id = $1 and n = $2"
        ))
        .bind(job)
        .bind(lease.task)
        .bind(to_json(output)?)
        .execute(tx.conn())
        .await?;
        // All tasks are locked: no other shard can be counted as missing that is done by now.
        let shards = tasks.iter().filter(|task| task.kind == "shard");
        let total = shards.clone().count();
        let done = shards.filter(|task| task.status == "done" || task.n == lease.task).count();
        let data = json!({"shard": lease.task, "shards_done": done, "shards_total": total});
        Self::append(tx, job, EventKind::ShardCompleted, &data).await?;
        if done == total {
            sqlx::query(sql!("update tasks set status = 'waiting' where job_id = $1 and kind = 'join'"))
                .bind(job)
                .execute(tx.conn())
                .await?;
            tx.notifications.push(Notification::Queued);
        }
        Ok(())
    }
}
