//! Claim, stage, compute, publish, finish; and a heartbeat beside it.

mod attempt;
mod lease;
mod notices;
mod scratch;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};

pub use scratch::sweep;

use crate::{
    engine::EngineConfig,
    job::{JobStore, RetryPolicy},
    storage::{Artifacts, Sources},
};

/// What every worker of a process shares.
#[derive(Debug)]
pub struct Workshop {
    /// The queue.
    pub store: Arc<dyn JobStore>,
    /// Where results go.
    pub artifacts: Artifacts,
    /// Where inputs may come from.
    pub sources: Sources,
    /// The folder for work in progress.
    pub scratch: PathBuf,
    /// The ONNX engine.
    pub engine: EngineConfig,
    /// What the buffers of one job may take.
    pub memory_bytes: u64,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long an idle worker waits before it looks again.
    pub poll: Duration,
    /// When failed jobs are tried again.
    pub retry: RetryPolicy,
    /// Rung when a job is created in this process.
    pub wake: Arc<Notify>,
}

impl Workshop {
    /// Works until `stop` becomes true: then the job in hand is given back, for another worker or the next start.
    pub async fn work(self: Arc<Self>, name: String, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            // Armed before the queue is asked: a job created between the two rings it.
            let rung = self.wake.notified();
            match self.store.claim(&name, self.lease).await {
                Ok(Some(claim)) => attempt::run(&self, claim, stop.clone()).await,
                Ok(None) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep(self.poll) => {}
                        _ = stop.changed() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(error = crate::fault::chain(&error), "the queue cannot be read");
                    tokio::select! {
                        () = tokio::time::sleep(self.poll.max(Duration::from_secs(1))) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
        }
    }
}
