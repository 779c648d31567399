//! [`NextTask`]: the task that a worker is about to take.

use std::time::Duration;

use super::{json::from_json, row::row};
use crate::job::{Claim, JobSpec, Lease, StoreError, Work};

row! {
    /// A task that nobody works on, and what matters of its job.
    NextTask {
        job: String,
        n: i64,
        kind: String,
        attempt: i64,
        max_attempts: i64,
        losses: i64,
        tenant: String,
        spec: String,
        plan: Option<String>,
        started_at: i64,
        now: i64,
        run_after: i64,
    }
}

impl NextTask {
    /// For how long it could have been taken.
    pub(in crate::database) fn waited(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now - self.run_after).unwrap_or(0))
    }

    /// What its new worker is given.
    pub(in crate::database) fn claim(
        self,
        token: String,
        work: Work,
        default_timeout: Option<Duration>,
    ) -> Result<Claim, StoreError> {
        let corrupt = |column| StoreError::Corrupt { row: self.job.clone(), column };
        let spec: JobSpec = from_json(&self.spec).ok_or_else(|| corrupt("spec"))?;
        let limit = spec.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds))).or(default_timeout);
        // Parts of a job have together what is left since the job began.
        let gone = match work {
            Work::Whole => Duration::ZERO,
            _ => Duration::from_millis(u64::try_from(self.now - self.started_at).unwrap_or(0)),
        };
        Ok(Claim {
            lease: Lease {
                job: self.job.parse().map_err(|_| corrupt("id"))?,
                task: self.n,
                token,
                attempt: self.attempt + 1,
            },
            max_attempts: self.max_attempts,
            alone: self.losses > 0,
            tenant: self.tenant.parse().map_err(|_| corrupt("tenant"))?,
            spec,
            work,
            limit,
            time_left: limit.map(|limit| limit.saturating_sub(gone)),
        })
    }
}
