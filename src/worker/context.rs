//! [`WorkerContext`]: what every worker of a process shares.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::ProcessLock;
use crate::{
    compute::Compute,
    engine::EngineConfig,
    fault::chain,
    job::{Fleet, JobStore, Lease, Queue, RetryPolicy, Upkeep},
    storage::{Artifacts, Cache, Sources},
};

/// What every worker of a process shares.
#[derive(Debug)]
pub struct WorkerContext {
    /// Where tasks come from.
    pub queue: Arc<dyn Queue>,
    /// Which workers there are.
    pub fleet: Arc<dyn Fleet>,
    /// What is known of jobs whose artifacts may have to go.
    pub upkeep: Arc<dyn Upkeep>,
    /// Where notifications come from.
    pub jobs: Arc<dyn JobStore>,
    /// The store that results are published to.
    pub artifacts: Artifacts,
    /// Where inputs may come from.
    pub sources: Sources,
    /// What inputs were brought before.
    pub cache: Option<Cache>,
    /// Where computations run.
    pub compute: Compute,
    /// The folder for work in progress.
    pub scratch: PathBuf,
    /// Where the ONNX engine is, and how many threads it may use.
    pub engine: EngineConfig,
    /// What the buffers of one job may take.
    pub memory_bytes: u64,
    /// Checkpoints with at least so many bytes are shared among workers, if there are others.
    pub fan_out_bytes: u64,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long an idle worker waits before it asks again.
    pub poll: Duration,
    /// Which tasks may run beside each other.
    pub lock: ProcessLock,
    /// When failed jobs are tried again.
    pub retry: RetryPolicy,
}

impl WorkerContext {
    /// Removes what an attempt has published that nobody refers to; of a job that has ended, whatever nobody refers to.
    pub(super) async fn tidy(&self, lease: &Lease) {
        let own = prefix(lease);
        match self.upkeep.footprint(&lease.job).await {
            Ok(None) => self.artifacts.discard(lease.job.as_str()).await,
            Ok(Some(job)) if job.ended => self.artifacts.keep_only(lease.job.as_str(), &job.keys).await,
            Ok(Some(job)) if job.shard_prefixes.contains(&own) => {}
            Ok(Some(_)) => self.artifacts.discard(&own).await,
            Err(error) => tracing::warn!(job = %lease.job, error = chain(&error), "left for the janitor"),
        }
    }
}

/// Where in the artifact store an attempt publishes: a place of its own.
pub(super) fn prefix(lease: &Lease) -> String {
    format!("{}/{}", lease.job, lease.token)
}
