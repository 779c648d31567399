//! [`Queue`]: the port that workers take tasks from.
//!
//! Every write of a worker carries its [`Lease`] and has no effect, and says so, once the lease is another's.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{StoreError, Worker};
use crate::{
    control::Progress,
    fault::Warning,
    job::{Claim, Failure, Held, JobResult, Lease, ShardOutput},
};

/// What becomes of a job in progress.
#[derive(Clone, Debug)]
pub enum Update {
    /// A phase began; its name.
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
        /// The memory that it needs, in bytes.
        needs_bytes: u64,
    },
    /// The job becomes a task for each shard, with their sizes, and one that joins them.
    FanOut(Vec<u64>),
    /// A shard is done; the join will want this.
    ShardDone(Box<ShardOutput>),
}

/// Hands tasks to workers, each to one at a time.
#[async_trait]
pub trait Queue: std::fmt::Debug + Send + Sync {
    /// Takes the next task that the worker is able to do. Tenants take turns: the one with the fewest running tasks comes
    /// first, then the one whose last turn is longest ago; within a tenant, the highest priority, then the oldest job. A task
    /// whose lease has run out waits again, uncounted, for a worker that is alone in its process; when it has lost some of
    /// these too, its job is failed, so a job that kills its workers comes to an end.
    async fn claim(&self, worker: &Worker, lease: Duration) -> Result<Option<Claim>, StoreError>;

    /// Renews a lease for `length` from now, if it still holds.
    async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<Held, StoreError>;

    /// The same question without renewing.
    async fn watch(&self, lease: &Lease) -> Result<Held, StoreError>;

    /// Records progress and appends the event. `false`: the lease is another's, nothing was written.
    async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError>;

    /// Ends an attempt. `false`: the lease is another's, nothing was written.
    async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError>;
}
