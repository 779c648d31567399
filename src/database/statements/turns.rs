//! Which task a worker gets next: tenants take turns, and a task that has lost a worker runs alone.

use std::time::Duration;

use super::{Store, Tx};
use crate::{
    database::{
        dialect::sql,
        rows::NextTask,
        tx::{bytes, milliseconds},
    },
    job::{StoreError, Worker},
};

/// How long a task that must run alone waits for a process that has nothing else to do. After that, processes finish what
/// they have and begin nothing before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long processes wait for one of them to become empty. A job may take hours, and they have no more than that to lose:
/// a job's process, not the worker's, is what a model ends.
const MOST_PATIENCE: Duration = Duration::from_secs(600);

/// Of how many tenants the next task is looked for, if other claims have those of the first.
const TENANTS: i64 = 16;

/// A statement for the next task among those that stand so: `$1` is the worker's memory, `$2` its backends, `$3` the limit of
/// tasks of a tenant.
macro_rules! next {
    ($condition:literal) => {
        sql!(concat!(
            "select t.job_id, t.n, t.kind, t.attempt, t.max_attempts, t.losses, t.tenant,
                    j.spec, j.plan, coalesce(j.started_at, 0), {now}, t.run_after
             from tasks t
             join jobs j on j.id = t.job_id
             where t.status = 'waiting'
               and (t.needs_bytes is null or cast($1 as bigint) is null or t.needs_bytes <= $1)
               and $2 like '%,' || t.backend || ',%'
               and (cast($3 as bigint) is null
                    or (select count(*) from tasks r
                        where r.tenant = t.tenant and r.status = 'running' and r.lease_until >= {now}) < $3)
               and ",
            $condition,
            " limit 1
             {for update of t skip locked}"
        ))
    };
}

impl Store {
    /// The next task that a worker may take. One that must be alone gets those first that need it.
    pub(super) async fn next_task(tx: &mut Tx, worker: &Worker) -> Result<Option<NextTask>, StoreError> {
        let patience = if worker.alone { Duration::ZERO } else { PATIENCE };
        if let Some(suspect) = Self::next_suspect(tx, worker, patience).await? {
            return Ok(Some(suspect).filter(|suspect| worker.alone || suspect.waited() >= MOST_PATIENCE));
        }
        for tenant in Self::tenants_in_turn(tx, worker).await? {
            let next = Self::next_of(tx, worker, &tenant).await?;
            if next.is_some() {
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// The task that has lost a worker and waits longest, if that is longer than this.
    async fn next_suspect(tx: &mut Tx, worker: &Worker, waited: Duration) -> Result<Option<NextTask>, StoreError> {
        let next =
            sqlx::query_as(next!("t.losses > 0 and t.run_after <= {now} - $4 order by t.run_after, t.job_id, t.n"))
                .bind(worker.memory_bytes.map(bytes))
                .bind(backends(worker))
                .bind(worker.tenant_limit.map(i64::from))
                .bind(milliseconds(waited))
                .fetch_optional(tx.conn())
                .await?;
        Ok(next)
    }

    /// The tenants that have a task for the worker: fewest running first, then whose last turn is longest ago.
    async fn tenants_in_turn(tx: &mut Tx, worker: &Worker) -> Result<Vec<String>, StoreError> {
        // From one tenant to the next by the index: what waits behind a tenant's first task is never read.
        let rows: Vec<(String,)> = sqlx::query_as(sql!(
            "with recursive waiting (tenant) as (
               select min(t.tenant) from tasks t where t.status = 'waiting'
               union all
               select (select min(t.tenant) from tasks t where t.status = 'waiting' and t.tenant > w.tenant)
               from waiting w
               where w.tenant is not null
             ),
             candidates as (
               select w.tenant,
                      (select u.at from turns u where u.tenant = w.tenant) as last_turn,
                      (select count(*) from tasks r
                       where r.status = 'running' and r.tenant = w.tenant and r.lease_until >= {now}) as running,
                      (select t.created_at
                       from tasks t
                       where t.status = 'waiting' and t.tenant = w.tenant
                         and t.run_after <= {now} and t.losses = 0
                         and (t.needs_bytes is null or cast($1 as bigint) is null or t.needs_bytes <= $1)
                         and $2 like '%,' || t.backend || ',%'
                       order by t.priority desc, t.created_at
                       limit 1) as task_of
               from waiting w
               where w.tenant is not null
             )
             select tenant
             from candidates
             where task_of is not null and (cast($3 as bigint) is null or running < $3)
             order by running, coalesce(last_turn, 0), task_of, tenant
             limit $4"
        ))
        .bind(worker.memory_bytes.map(bytes))
        .bind(backends(worker))
        .bind(worker.tenant_limit.map(i64::from))
        .bind(TENANTS)
        .fetch_all(tx.conn())
        .await?;
        Ok(rows.into_iter().map(|(tenant,)| tenant).collect())
    }

    /// The next task of a tenant: highest priority, then oldest job.
    async fn next_of(tx: &mut Tx, worker: &Worker, tenant: &str) -> Result<Option<NextTask>, StoreError> {
        let next = sqlx::query_as(next!(
            "t.tenant = $4 and t.run_after <= {now} and t.losses = 0
             order by t.priority desc, t.created_at, t.job_id, t.n"
        ))
        .bind(worker.memory_bytes.map(bytes))
        .bind(backends(worker))
        .bind(worker.tenant_limit.map(i64::from))
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?;
        Ok(next)
    }
}

/// The backends of a worker as `like` searches them: each between commas.
fn backends(worker: &Worker) -> String {
    format!(",{},", worker.backends.join(","))
}
