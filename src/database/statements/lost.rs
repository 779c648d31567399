//! Tasks whose worker was lost: it died, or was silent for longer than its lease.
//!
//! The task need not be the cause: whatever else ran in the process goes with it. So the attempt is not counted, and the task
//! runs alone from then on. One that loses its workers even so is to blame.

use super::{
    Store, Tx,
    finish::{Requeue, TaskOf},
};
use crate::{
    database::dialect::sql,
    fault::FaultCode,
    job::{Failure, JobStatus, StoreError},
};

/// How many workers a task may lose while nothing else runs in their processes.
const LOSSES_ALONE: i64 = 3;

impl Store {
    /// Deals with one task whose worker was lost; `false`: there is none.
    pub(super) async fn put_away_lost(tx: &mut Tx) -> Result<bool, StoreError> {
        let lost: Option<(String, i64, i64, String)> = sqlx::query_as(sql!(
            "select t.job_id, t.n, t.losses, j.status
             from tasks t
             join jobs j on j.id = t.job_id
             where t.status = 'running' and t.lease_until < {now}
             order by t.lease_until
             limit 1
             {for update of t skip locked}"
        ))
        .fetch_optional(tx.conn())
        .await?;
        let Some((job, n, losses, status)) = lost else { return Ok(false) };
        if status == JobStatus::Cancelling.name() {
            // Its worker died before it knew.
            Self::stop_task(tx, &job, n).await?;
        } else if losses >= LOSSES_ALONE {
            let message =
                format!("the worker was lost in each of {LOSSES_ALONE} attempts in which nothing else ran there");
            let failure = Failure::plain(FaultCode::WorkerLost, message)
                .with_hint("it may need more memory than its workers have; their logs tell more");
            Self::end(tx, &job, JobStatus::Failed, Some(&failure), None).await?;
        } else {
            let failure = Failure::plain(FaultCode::WorkerLost, "the worker was lost; the attempt is not counted");
            let how = Requeue { uncounted: true, lost: true, error: Some(&failure), ..Requeue::default() };
            Self::requeue(tx, TaskOf { job: &job, n }, how).await?;
        }
        Ok(true)
    }
}
