//! The heartbeat of one attempt: it keeps the lease, and stops the attempt when there is a reason.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::cancel::{Stop, StopReason};
use crate::{
    fault::chain,
    job::{Held, Lease, Queue},
};

/// How often the queue is asked whether the job was cancelled. The answer must be with the user within two seconds.
const LOOK: Duration = Duration::from_millis(700);

/// What the heart of one attempt needs.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) lease: Lease,
    /// How long the lease lasts when it is renewed.
    pub(super) length: Duration,
    /// How long the attempt may take; no limit without it.
    pub(super) time_left: Option<Duration>,
    pub(super) stop: Stop,
}

impl Heartbeat {
    /// Renews the lease at a third of its length and looks for a cancellation more often than that, until the lease is lost
    /// or this is aborted: while the computation comes to its end, the job is still ours.
    pub(super) async fn beat(self, mut shutdown: watch::Receiver<bool>) {
        let mut renewed = Instant::now();
        // A time so late that it never comes, where there is no limit.
        let deadline = Instant::now() + self.time_left.unwrap_or(Duration::from_secs(1 << 32));
        let (mut timely, mut serving) = (true, true);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK.min(self.length / 3)) => {
                    if let Some(reason) = self.ask(&mut renewed).await {
                        self.stop.set(reason);
                        if reason == StopReason::LeaseLost {
                            return;
                        }
                    }
                }
                () = tokio::time::sleep_until(deadline), if timely => {
                    timely = false;
                    self.stop.set(StopReason::Deadline);
                }
                () = ended(&mut shutdown), if serving => {
                    serving = false;
                    self.stop.set(StopReason::Shutdown);
                }
            }
        }
    }

    /// Asks the queue how things stand, and renews the lease if that is due.
    async fn ask(&self, renewed: &mut Instant) -> Option<StopReason> {
        let due = renewed.elapsed() >= self.length / 3;
        let answer = match due {
            true => self.queue.heartbeat(&self.lease, self.length).await,
            false => self.queue.watch(&self.lease).await,
        };
        match answer {
            Ok(Held::Lost) => Some(StopReason::LeaseLost),
            Ok(held) => {
                if due {
                    *renewed = Instant::now();
                }
                (held == Held::Cancelled).then_some(StopReason::Cancelled)
            }
            // The database may come back before the lease runs out; after that the job is not ours to touch.
            Err(error) => {
                tracing::warn!(job = %self.lease.job, error = chain(&error), "heartbeat failed");
                (renewed.elapsed() > self.length).then_some(StopReason::LeaseLost)
            }
        }
    }
}

async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
