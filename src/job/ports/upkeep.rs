//! [`Upkeep`]: the port for cleaning up after jobs.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::job::JobId;

/// What cleaning up needs to know of a job.
#[derive(Clone, Debug)]
pub struct JobFootprint {
    /// Whether it has ended.
    pub ended: bool,
    /// The keys of its artifacts.
    pub keys: Vec<String>,
    /// The prefixes of the files that its shards have published for the join, of whatever version they are.
    pub shard_prefixes: Vec<String>,
}

/// Knows what is left of jobs, and forgets what is old.
#[async_trait]
pub trait Upkeep: std::fmt::Debug + Send + Sync {
    /// Ends every lease at once. Only for a store whose one user has just started, so that no worker can be alive.
    async fn end_all_leases(&self) -> Result<(), StoreError>;

    /// What is known of a job of any tenant; nothing of one that is not there.
    async fn footprint(&self, job: &JobId) -> Result<Option<JobFootprint>, StoreError>;

    /// Jobs whose artifacts may hold what nobody refers to: those that were deleted, and those that ended no longer ago
    /// than this.
    async fn to_sweep(&self, ended_within: Duration) -> Result<Vec<JobId>, StoreError>;

    /// Says that nothing is left of a deleted job.
    async fn swept(&self, job: &JobId) -> Result<(), StoreError>;

    /// Jobs that ended longer ago than this and still have artifacts: marks the artifacts as expired and returns the jobs.
    async fn expire(&self, age: Duration, limit: i64) -> Result<Vec<JobId>, StoreError>;

    /// Removes the events of jobs that ended longer ago than this, all but changes of status, idempotency
    /// keys and deliveries older than `keys`, and workers not seen for a day.
    async fn prune(&self, events: Option<Duration>, keys: Duration) -> Result<(), StoreError>;
}
