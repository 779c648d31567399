//! Claim, stage, compute, publish, finish; a heartbeat beside it; and cleaning up after all of them.

mod attempt;
mod janitor;
mod lease;
mod notices;
mod plan;
mod run;
mod scratch;
mod shard_pipeline;
mod stage;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing::Instrument;

pub use janitor::{Janitor, Retention};
pub use plan::dry_run;
pub use scratch::sweep;

use crate::{
    engine::EngineConfig,
    fault::chain,
    job::{Finish, JobStore, Lease, Notification, Queue, RetryPolicy, Worker, wait_for},
    storage::{Artifacts, Cache, Sources},
    telemetry,
};

/// What every worker of a process shares.
#[derive(Debug)]
pub struct WorkerContext {
    /// Where tasks come from.
    pub queue: Arc<dyn Queue>,
    /// Where news comes from.
    pub jobs: Arc<dyn JobStore>,
    /// Where results go.
    pub artifacts: Artifacts,
    /// Where inputs may come from.
    pub sources: Sources,
    /// What inputs were brought before.
    pub cache: Option<Cache>,
    /// The folder for work in progress.
    pub scratch: std::path::PathBuf,
    /// The ONNX engine.
    pub engine: EngineConfig,
    /// What the buffers of one job may take.
    pub memory_bytes: u64,
    /// Checkpoints with at least so many bytes are shared among workers, if there are others.
    pub fan_out_bytes: u64,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long an idle worker waits before it looks again.
    pub poll: Duration,
    /// When failed jobs are tried again.
    pub retry: RetryPolicy,
}

impl WorkerContext {
    /// Works until `stop` becomes true: then the task in hand is given back, for another worker or the next start.
    pub async fn work(self: Arc<Self>, who: Worker, mut stop: watch::Receiver<bool>) {
        let mut notifications = self.jobs.notifications();
        self.announce(&who).await;
        while !*stop.borrow() {
            match self.queue.claim(&who, self.lease).await {
                Ok(Some(claim)) => {
                    let announcing = self.keep_announcing(&who);
                    // Every line of the log that the attempt writes carries these.
                    let (job, task, attempt) = (&claim.lease.job, claim.lease.task, claim.lease.attempt);
                    let span = tracing::info_span!("task", %job, task, attempt, tenant = %claim.tenant);
                    tokio::select! {
                        () = attempt::run(&self, claim, stop.clone()).instrument(span) => {}
                        () = announcing => {}
                    }
                }
                Ok(None) => {
                    self.announce(&who).await;
                    // A notification that came while the queue was asked is in the stream already.
                    tokio::select! {
                        () = wait_for(&mut notifications, &Notification::Queued) => {}
                        () = tokio::time::sleep(self.poll) => {}
                        _ = stop.changed() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "the queue cannot be read");
                    tokio::select! {
                        () = tokio::time::sleep(self.poll.max(Duration::from_secs(1))) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
        }
        if let Err(error) = self.queue.unregister(&who.name).await {
            tracing::warn!(error = chain(&error), "the worker did not say that it goes");
        }
    }

    /// Says that a worker is alive. Nothing depends on it at once.
    async fn announce(&self, who: &Worker) {
        if let Err(error) = self.queue.announce(who).await {
            tracing::warn!(error = chain(&error), "the worker could not say that it is alive");
        }
    }

    /// The same for as long as it works.
    async fn keep_announcing(&self, who: &Worker) {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            self.announce(who).await;
        }
    }

    /// Removes what an attempt has published that nobody refers to; of a job that has ended, whatever nobody refers to.
    async fn tidy(&self, lease: &Lease) {
        let own = format!("{}/{}", lease.job, lease.token);
        match self.queue.footprint(&lease.job).await {
            Ok(None) => self.artifacts.discard(lease.job.as_str()).await,
            Ok(Some(remains)) if remains.ended => self.artifacts.keep_only(lease.job.as_str(), &remains.keys).await,
            Ok(Some(remains)) if remains.outputs.iter().any(|output| output["prefix"] == *own) => {}
            Ok(Some(_)) => self.artifacts.discard(&own).await,
            Err(error) => tracing::warn!(job = %lease.job, error = chain(&error), "left for the janitor"),
        }
    }

    /// Counts how an attempt ended.
    fn record_outcome(&self, how: &Finish) {
        let (outcome, code) = match how {
            Finish::Succeeded(_) => ("succeeded", ""),
            Finish::Failed(failure) => ("failed", &*failure.code),
            Finish::Retry(failure, _) => ("retried", &*failure.code),
            Finish::TimedOut(failure) => ("timed_out", &*failure.code),
            Finish::Cancelled => ("cancelled", ""),
            Finish::Released => ("released", ""),
            Finish::TooSmall { .. } => ("left", ""),
            Finish::FanOut(_) => ("fanned_out", ""),
            Finish::ShardDone(_) => ("shard_done", ""),
        };
        telemetry::attempt_ended(outcome, code);
        if let Finish::Succeeded(result) = how {
            telemetry::job_succeeded(&result.summary);
        }
    }
}
