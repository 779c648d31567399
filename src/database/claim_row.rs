//! [`Next`]: the task that a worker is about to take.

use std::time::Duration;

use super::row::from_json;
use crate::job::{Claim, JobSpec, Lease, StoreError, Work};

/// A row of what `claim` looks at: the task's, then its job's columns, then the time.
pub(super) type NextRow = (String, i64, String, String, i64, i64, String, String, String, Option<String>, i64, i64);

/// A task that nobody works on.
pub(super) struct Next {
    pub(super) job: String,
    pub(super) n: i64,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
    pub(super) tenant: String,
    pub(super) job_status: String,
    spec: String,
    pub(super) plan: Option<String>,
    started_at: i64,
    now: i64,
}

impl From<NextRow> for Next {
    fn from(row: NextRow) -> Self {
        let (job, n, kind, status, attempt, max_attempts, tenant, job_status, spec, plan, started_at, now) = row;
        Next { job, n, kind, status, attempt, max_attempts, tenant, job_status, spec, plan, started_at, now }
    }
}

impl Next {
    /// What its new worker is given.
    pub(super) fn claim(self, token: String, work: Work) -> Result<Claim, StoreError> {
        let corrupt = |column| StoreError::Corrupt { row: self.job.clone(), column };
        let spec: JobSpec = from_json(&self.spec).ok_or_else(|| corrupt("spec"))?;
        let whole = spec.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
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
            tenant: self.tenant.parse().map_err(|_| corrupt("tenant"))?,
            spec,
            work,
            time_left: whole.map(|whole| whole.saturating_sub(gone)),
        })
    }
}
