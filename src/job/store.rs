//! [`JobStore`]: the port to wherever jobs are kept.
//!
//! Every write of a worker carries its [`Lease`] and has no effect, and says so, once the lease is another's.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Claim, Event, Failure, Job, JobId, JobResult, JobSpec, JobStatus, Lease};
use crate::{control::Progress, fault::Warning};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what no version of ours wrote.
    #[error("the database holds an unreadable {column} for job {job}")]
    Corrupt {
        /// The job.
        job: String,
        /// The column.
        column: &'static str,
    },
}

/// A job to be created.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, fresh.
    pub id: JobId,
    /// What to do.
    pub spec: JobSpec,
    /// Warnings from its checks.
    pub warnings: Vec<Warning>,
}

/// A place in the list of jobs, which is sorted by creation, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last job seen was created.
    pub created_at: i64,
    /// Its id.
    pub id: JobId,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Only these, if given.
    pub status: Option<JobStatus>,
    /// After this place.
    pub after: Option<Cursor>,
    /// The most jobs.
    pub limit: i64,
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
    /// With a result.
    Succeeded(JobResult),
    /// With an error, for good.
    Failed(Failure),
    /// With an error, to be tried again after a wait.
    Retry(Failure, Duration),
    /// It ran too long.
    TimedOut(Failure),
    /// The worker goes away; the job goes back to the queue and the attempt is not counted.
    Released,
}

/// Keeps jobs and their events, and hands jobs to workers, each to one at a time.
#[async_trait]
pub trait JobStore: std::fmt::Debug + Send + Sync {
    /// Adds a job to the queue.
    async fn create(&self, job: NewJob) -> Result<Job, StoreError>;

    /// A job by its id.
    async fn get(&self, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// Jobs, newest first.
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, StoreError>;

    /// A job's events after number `after`, at most `limit`, in order.
    async fn events(&self, id: &JobId, after: i64, limit: i64) -> Result<Vec<Event>, StoreError>;

    /// Takes the next job: highest priority, then oldest; a job whose lease has run out counts as waiting. One that has
    /// used up its attempts is failed instead, so a job that kills its workers comes to an end.
    async fn claim(&self, worker: &str, lease: Duration) -> Result<Option<Claim>, StoreError>;

    /// Renews a lease. `false`: it is another's, stop.
    async fn heartbeat(&self, lease: &Lease, length: Duration) -> Result<bool, StoreError>;

    /// Records progress and appends the event. `false`: the lease is another's, nothing was written.
    async fn update(&self, lease: &Lease, update: Update) -> Result<bool, StoreError>;

    /// Ends an attempt. `false`: the lease is another's, nothing was written.
    async fn finish(&self, lease: &Lease, how: Finish) -> Result<bool, StoreError>;

    /// Ends every lease at once. Only for a store whose one user has just started, so that no worker can be alive.
    async fn end_all_leases(&self) -> Result<(), StoreError>;
}
