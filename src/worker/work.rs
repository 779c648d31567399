//! The loop of a worker.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing::Instrument;

use super::{WorkerContext, attempt, place::Place};
use crate::{
    fault::chain,
    job::{Claim, Notification, StoreError, Worker, wait_for},
};

/// How often a worker that is busy says that it is alive.
const ANNOUNCE: Duration = Duration::from_secs(20);

impl WorkerContext {
    /// Works until `stop` becomes true: then the task in hand is given back, for another worker or the next start.
    pub async fn work(self: Arc<Self>, who: Worker, mut stop: watch::Receiver<bool>) {
        let mut notifications = self.jobs.notifications();
        self.announce(&who).await;
        while !*stop.borrow() {
            match self.claim(&who).await {
                Ok(Some((claim, _place))) => {
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
        if let Err(error) = self.fleet.unregister(&who.name).await {
            tracing::warn!(error = chain(&error), "the worker could not say that it stops");
        }
    }

    /// The next task, with the place that it runs in; none if there is none, or if another one in the process must be alone.
    async fn claim(&self, who: &Worker) -> Result<Option<(Claim, Place)>, StoreError> {
        // Not for longer than an idle worker sleeps: then it says that it is alive, and sees whether it is to stop.
        let Ok(place) = tokio::time::timeout(self.poll, Place::take(&self.lock)).await else { return Ok(None) };
        let who = Worker { alone: place.is_alone(), ..who.clone() };
        let claim = self.queue.claim(&who, self.lease).await?;
        Ok(claim.map(|claim| if claim.alone { (claim, place) } else { (claim, place.shared()) }))
    }

    /// Says that a worker is alive. Nothing depends on it at once.
    async fn announce(&self, who: &Worker) {
        if let Err(error) = self.fleet.announce(who).await {
            tracing::warn!(error = chain(&error), "the worker could not say that it is alive");
        }
    }

    /// The same for as long as it works.
    async fn keep_announcing(&self, who: &Worker) {
        loop {
            tokio::time::sleep(ANNOUNCE).await;
            self.announce(who).await;
        }
    }
}
