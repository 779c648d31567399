//! [`Lease`]: the right to work on a job, for a while.

use super::{JobId, JobSpec};

/// The right to work on a job. It ends unless renewed, and every write of its holder checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The attempt's secret; another attempt has another one.
    pub token: String,
    /// Which attempt this is, from 1.
    pub attempt: i64,
}

/// A job that a worker took.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to work on it.
    pub lease: Lease,
    /// The most attempts it gets.
    pub max_attempts: i64,
    /// What to do.
    pub spec: JobSpec,
}
