//! [`Queue`]: the port that workers take tasks from.
//!
//! Every write of a worker carries its [`Lease`] and has no effect, and says so, once the lease is another's.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Claim, Failure, Held, JobId, JobResult, Lease, StoreError};
use crate::{control::Progress, fault::Warning};

/// A worker, and what it is able to do.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name, unique among those alive.
    pub name: String,
    /// What a job may take to run a model; no limit without it.
    pub memory_bytes: Option<u64>,
    /// Names of the backends that it can run.
    pub backends: Vec<&'static str>,
    /// The most tasks of one tenant that may run at a time, over all workers; no limit without it.
    pub tenant_limit: Option<u32>,
}

/// What a worker tells of a job in progress.
#[derive(Clone, Debug)]
pub enum Update {
    /// A phase began.
    Phase(String),
    /// A phase has come further.
    Progress(String, Progress),
    /// The plan is known.
    Plan(Value),
    /// Something the user should know.
    Warning(Warning),
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Finish {
    /// With the job's result.
    Succeeded(JobResult),
    /// With an error, for good.
    Failed(Failure),
    /// With an error, to be tried again after a wait.
    Retry(Failure, Duration),
    /// It ran too long.
    TimedOut(Failure),
    /// It was asked to stop, and has.
    Cancelled,
    /// The worker goes away; the task goes back to the queue and the attempt is not counted.
    Released,
    /// The task needs more memory than this worker has; it goes back for another one, and the attempt is not counted.
    TooSmall {
        /// What it needs.
        needs_bytes: u64,
    },
    /// The job becomes a task for each shard, with their sizes, and one that joins them.
    FanOut(Vec<u64>),
    /// A shard is done; the join will want this.
    ShardDone(Value),
}

/// A job as whoever cleans up sees it.
#[derive(Clone, Debug)]
pub struct JobFootprint {
    /// Whether it has ended.
    pub ended: bool,
    /// The keys of its artifacts.
    pub keys: Vec<String>,
    /// What its shards that are done have left for the join.
    pub outputs: Vec<Value>,
}

/// Hands tasks to workers, each to one at a time.
#[async_trait]
pub trait Queue: std::fmt::Debug + Send + Sync {
    /// Takes the next task that the worker is able to do: highest priority, then oldest job. One whose lease has run out
    /// counts as waiting; if it has used up its attempts its job is failed, so a job that kills its workers comes to an end.
    async fn claim(&self, worker: &Worker, lease: Duration) -> Result<Option<Claim>, StoreError>;

    /// Renews a lease.
    async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<Held, StoreError>;

    /// The same question without renewing.
    async fn watch(&self, lease: &Lease) -> Result<Held, StoreError>;

    /// Records progress and appends the event. `false`: the lease is another's, nothing was written.
    async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError>;

    /// Ends an attempt. `false`: the lease is another's, nothing was written.
    async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError>;

    /// Ends every lease at once. Only for a store whose one user has just started, so that no worker can be alive.
    async fn end_all_leases(&self) -> Result<(), StoreError>;

    /// Says that a worker is alive.
    async fn announce(&self, worker: &Worker) -> Result<(), StoreError>;

    /// Says that it is gone.
    async fn unregister(&self, worker: &str) -> Result<(), StoreError>;

    /// How many workers that were alive lately can run a backend within this much memory.
    async fn capable_workers(&self, backend: &str, bytes: u64) -> Result<u64, StoreError>;

    /// What is known of a job of any tenant; nothing of one that is not there.
    async fn footprint(&self, job: &JobId) -> Result<Option<JobFootprint>, StoreError>;

    /// Jobs whose artifacts may hold what nobody refers to: those that were deleted, and those that ended no longer ago
    /// than this.
    async fn to_sweep(&self, ended_within: Duration) -> Result<Vec<JobId>, StoreError>;

    /// Says that nothing is left of a deleted job.
    async fn swept(&self, job: &JobId) -> Result<(), StoreError>;

    /// Jobs that ended longer ago than this and still have artifacts: marks the artifacts as expired and returns the jobs.
    async fn expire(&self, age: Duration, limit: i64) -> Result<Vec<JobId>, StoreError>;

    /// Removes the events of jobs that ended longer ago than this, all but those that tell a change of status, idempotency
    /// keys and deliveries older than `keys`, and workers not seen for a day.
    async fn prune(&self, events: Option<Duration>, keys: Duration) -> Result<(), StoreError>;
}
