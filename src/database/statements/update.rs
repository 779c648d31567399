//! What a worker says of a job in progress.

use serde_json::{Value, json};

use super::{Store, Tx};
use crate::{
    control::Progress,
    database::{
        dialect::sql,
        rows::{from_json, to_json},
        tx::rolled_back,
    },
    fault::Warning,
    job::{EventKind, Lease, StoreError, Update},
};

impl Store {
    /// Records what has become of a job, and appends the event. `false`: the lease is another's.
    pub(super) async fn record_update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (done, total) = match &update {
            Update::Progress(_, made) => (Some(made.units_done as i64), Some(made.units_total as i64)),
            _ => (None, None),
        };
        // Locks the task: whoever takes it over waits, and whoever has taken it over makes this find nothing.
        let mine = sqlx::query(sql!(
            "update tasks
             set units_done = coalesce($4, units_done), units_total = coalesce($5, units_total)
             where job_id = $1 and n = $2 and lease_token = $3"
        ))
        .bind(lease.job.as_str())
        .bind(lease.task)
        .bind(&lease.token)
        .bind(done)
        .bind(total)
        .execute(tx.conn())
        .await?;
        if mine.rows_affected() == 0 {
            return rolled_back(tx, false).await;
        }
        let job = lease.job.as_str();
        let changed = match update {
            Update::Phase(phase) => Self::set_phase(&mut tx, job, &phase).await?,
            Update::Progress(phase, made) => Self::set_progress(&mut tx, job, &phase, made).await?,
            Update::Plan(plan) => Self::set_plan(&mut tx, job, &plan).await?,
            Update::Warning(warning) => Self::add_warning(&mut tx, job, warning).await?,
        };
        if !changed {
            return rolled_back(tx, true).await;
        }
        self.commit(tx).await?;
        Ok(true)
    }

    async fn set_phase(tx: &mut Tx, job: &str, phase: &str) -> Result<bool, StoreError> {
        sqlx::query(sql!("update jobs set phase = $2, progress = null where id = $1"))
            .bind(job)
            .bind(phase)
            .execute(tx.conn())
            .await?;
        Self::append(tx, job, EventKind::Phase, &json!({"phase": phase})).await?;
        Ok(true)
    }

    /// Of a job with several tasks, the progress of all of them.
    async fn set_progress(tx: &mut Tx, job: &str, phase: &str, mut made: Progress) -> Result<bool, StoreError> {
        let (done, total, tasks): (i64, i64, i64) = sqlx::query_as(sql!(
            "select cast(coalesce(sum(units_done), 0) as bigint),
                    cast(coalesce(sum(units_total), 0) as bigint),
                    count(*)
             from tasks
             where job_id = $1"
        ))
        .bind(job)
        .fetch_one(tx.conn())
        .await?;
        if tasks > 1 {
            (made.units_done, made.units_total) = (done.max(0) as u64, total.max(0) as u64);
            made.eta_seconds = None;
        }
        sqlx::query(sql!("update jobs set phase = $2, progress = $3 where id = $1"))
            .bind(job)
            .bind(phase)
            .bind(to_json(&made)?)
            .execute(tx.conn())
            .await?;
        let mut data = json!(made);
        data["phase"] = json!(phase);
        Self::append(tx, job, EventKind::Progress, &data).await?;
        Ok(true)
    }

    /// `false` if an earlier attempt made the same plan.
    async fn set_plan(tx: &mut Tx, job: &str, plan: &Value) -> Result<bool, StoreError> {
        let (known,): (Option<String>,) =
            sqlx::query_as(sql!("select plan from jobs where id = $1")).bind(job).fetch_one(tx.conn()).await?;
        let text = to_json(plan)?;
        if known.as_deref() == Some(text.as_str()) {
            return Ok(false);
        }
        sqlx::query(sql!("update jobs set plan = $2 where id = $1")).bind(job).bind(text).execute(tx.conn()).await?;
        let layers = plan["plan"]["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let quantized = layers.iter().filter(|layer| layer["decision"] == "quantize").count();
        let data = json!({"layers_quantized": quantized, "layers_native": layers.len() - quantized});
        Self::append(tx, job, EventKind::Planned, &data).await?;
        Ok(true)
    }

    /// `false` if an earlier attempt had the same warning.
    async fn add_warning(tx: &mut Tx, job: &str, warning: Warning) -> Result<bool, StoreError> {
        let (known,): (String,) = sqlx::query_as(sql!("select warnings from jobs where id = $1 {for update}"))
            .bind(job)
            .fetch_one(tx.conn())
            .await?;
        let mut warnings: Vec<Warning> = from_json(&known).unwrap_or_default();
        if warnings.contains(&warning) {
            return Ok(false);
        }
        warnings.push(warning.clone());
        sqlx::query(sql!("update jobs set warnings = $2 where id = $1"))
            .bind(job)
            .bind(to_json(&warnings)?)
            .execute(tx.conn())
            .await?;
        Self::append(tx, job, EventKind::Warning, &json!(warning)).await?;
        Ok(true)
    }
}
