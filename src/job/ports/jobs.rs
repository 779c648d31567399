//! [`JobStore`]: the port to where jobs are stored, as the API uses it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::{NotificationStream, StoreError};
use crate::job::{AdmittedJob, Event, Exceeded, Job, JobId, JobStatus, Quotas, Tenant, TenantUsage};

/// What makes a request unique for a client that may send it twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The `Idempotency-Key` of the request; unique for the tenant.
    pub key: String,
    /// A digest of the request.
    pub fingerprint: String,
}

/// A job to be created.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// A fresh id, which no job has yet.
    pub id: JobId,
    /// The tenant of the caller, who alone will see the job.
    pub tenant: Tenant,
    /// The request, admitted: nothing in it is refused any more.
    pub job: AdmittedJob,
    /// What makes the request unique.
    pub idempotency: Option<Idempotency>,
    /// What the tenant may hold.
    pub quotas: Quotas,
}

/// What came of creating a job.
#[derive(Clone, Debug)]
pub enum Created {
    /// The job is new, and its first task is queued.
    New(Job),
    /// The same request created this job before.
    Replayed(Job),
    /// Another request had this idempotency key.
    KeyReused,
    /// Another job of the tenant has this name.
    NameTaken(JobId),
    /// The tenant has used up a quota.
    Exceeded(Exceeded),
}

/// What came of changing a job.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It is done, or was done before.
    Done(Box<Job>),
    /// There is no such job.
    Missing,
    /// The job is not at the version that the client knows.
    Stale,
    /// A job that stands like this cannot be changed so.
    Refused(JobStatus),
    /// The tenant has used up a quota.
    Exceeded(Exceeded),
}

/// A place in the list of jobs, which is sorted by creation, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last job seen was created.
    pub created_at: i64,
    /// That job's id, which orders jobs created in the same millisecond.
    pub id: JobId,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only those that stand like this.
    pub status: Option<JobStatus>,
    /// Only those of this backend.
    pub backend: Option<String>,
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only those with this label.
    pub label: Option<(String, String)>,
    /// Only those created at this time or later.
    pub created_after: Option<i64>,
    /// Only those created before this time.
    pub created_before: Option<i64>,
    /// Only those behind this place in the list; from the beginning without it.
    pub after: Option<Cursor>,
    /// The most jobs that are returned.
    pub limit: i64,
}

/// Figures of the queue.
#[derive(Clone, Debug, Default)]
pub struct QueueStats {
    /// The number of jobs with each status, of all tenants.
    pub jobs: BTreeMap<String, i64>,
    /// Tasks that wait for a worker.
    pub tasks_waiting: i64,
    /// Tasks that a worker has.
    pub tasks_running: i64,
    /// For how long the oldest task waits, in milliseconds.
    pub oldest_wait: i64,
    /// Workers that were alive lately.
    pub workers: i64,
}

/// Keeps jobs and their events. A tenant's job does not exist for another one.
#[async_trait]
pub trait JobStore: std::fmt::Debug + Send + Sync {
    /// Adds a job to the queue.
    async fn create(&self, job: NewJob) -> Result<Created, StoreError>;

    /// A job by its id.
    async fn get(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// A job's plan, `{effective_config, plan}`, once a worker has made it.
    async fn plan(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Value>, StoreError>;

    /// The tenant's jobs that the query asks for, newest first.
    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Job>, StoreError>;

    /// A job's events after number `after`, at most `limit`, in order.
    async fn events(&self, tenant: &Tenant, id: &JobId, after: i64, limit: i64) -> Result<Vec<Event>, StoreError>;

    /// Asks a job to stop: one that waits is cancelled at once, one that runs when its worker asks the next time. `version`: only
    /// if the job is at this one.
    async fn cancel(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError>;

    /// Queues a job again that has ended without a result, with another request in the old one's place.
    async fn retry(
        &self,
        tenant: &Tenant,
        id: &JobId,
        version: Option<i64>,
        with: NewJob,
    ) -> Result<Changed, StoreError>;

    /// Forgets a job that has ended.
    async fn delete(&self, tenant: &Tenant, id: &JobId, version: Option<i64>) -> Result<Changed, StoreError>;

    /// Figures of the queue, over all tenants.
    async fn stats(&self) -> Result<QueueStats, StoreError>;

    /// What each tenant holds, sorted by name.
    async fn usage(&self) -> Result<Vec<TenantUsage>, StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What happens from now on. A hint, not a log: notifications may be lost, so a waiter also polls.
    fn notifications(&self) -> NotificationStream;
}
