//! [`Janitor`]: retention, and whatever dead processes left behind.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    fault::chain,
    job::{StoreError, Upkeep},
    storage::Artifacts,
};

/// How long things are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Artifacts, after their job has ended; for ever without it. The job itself stays.
    pub artifacts: Option<Duration>,
    /// Events other than changes of status, after their job has ended; for ever without it.
    pub events: Option<Duration>,
    /// Uploads, after they came; for ever without it.
    pub uploads: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an idempotency key is remembered, and a delivery that is over.
const KEYS: Duration = DAY;

/// Cleans up now and then. Any number of processes may do so at the same time.
#[derive(Debug)]
pub struct Janitor {
    /// What is known of jobs.
    pub upkeep: Arc<dyn Upkeep>,
    /// The store that artifacts are removed from.
    pub artifacts: Artifacts,
    /// How long they are kept.
    pub retention: Retention,
    /// The time between two rounds.
    pub every: Duration,
}

impl Janitor {
    /// Cleans up until `stop` becomes true.
    pub async fn work(self, mut stop: watch::Receiver<bool>) {
        // First what may have happened while nobody was here.
        let mut within = DAY;
        loop {
            if let Err(error) = self.round(within).await {
                tracing::warn!(error = chain(&error), "cleaning up failed, and is tried again later");
            }
            within = self.every.saturating_mul(2).max(Duration::from_secs(600));
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn round(&self, within: Duration) -> Result<(), StoreError> {
        if let Some(age) = self.retention.artifacts {
            loop {
                let expired = self.upkeep.expire(age, 100).await?;
                for job in &expired {
                    self.artifacts.discard(job.as_str()).await;
                    tracing::info!(%job, "artifacts expired");
                }
                if expired.is_empty() {
                    break;
                }
            }
        }
        self.artifacts.expire_uploads(self.retention.uploads).await;
        self.upkeep.prune(self.retention.events, KEYS).await?;
        // What deleted jobs left, and what attempts that never ended published for jobs that have.
        for job in self.upkeep.to_sweep(within).await? {
            match self.upkeep.footprint(&job).await? {
                None => {
                    self.artifacts.discard(job.as_str()).await;
                    self.upkeep.swept(&job).await?;
                }
                Some(found) if found.ended => self.artifacts.keep_only(job.as_str(), &found.keys).await,
                Some(_) => {}
            }
        }
        Ok(())
    }
}
