//! From the computation's notices to the job's log.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    control::Notice,
    fault::chain,
    job::{Lease, Queue, Update},
};

/// The least time between two progress events of a job.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Writes the notices of one attempt to the queue.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) lease: Lease,
    /// Of one part of a job that was fanned out, only progress and warnings are of interest: the phases are the whole job's.
    pub(super) part: bool,
    /// How long a notice that must not be lost is tried again while the database is away.
    pub(super) patience: Duration,
}

impl Recorder {
    /// Writes notices until the sender is gone. Progress is thinned out; the last of a phase is always written.
    pub(super) async fn record(self, mut notices: mpsc::UnboundedReceiver<Notice>) {
        let mut last_progress: Option<Instant> = None;
        while let Some(notice) = notices.recv().await {
            let (update, may_be_lost) = match notice {
                Notice::Phase(_) | Notice::Plan(_) if self.part => continue,
                Notice::Phase(phase) => {
                    last_progress = None;
                    (Update::Phase(phase.name().to_owned()), false)
                }
                Notice::Progress(phase, progress) => {
                    // Of something whose end is not known, no progress is the last.
                    let last = progress.units_total > 0 && progress.units_done >= progress.units_total;
                    if !last && last_progress.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
                        continue;
                    }
                    last_progress = Some(Instant::now());
                    (Update::Progress(phase.name().to_owned(), progress), true)
                }
                Notice::Plan(plan) => (Update::Plan(plan), false),
                Notice::Warning(warning) => (Update::Warning(warning), false),
            };
            if !self.write(update, may_be_lost).await {
                return;
            }
        }
    }

    /// Writes an update. `false` if the lease is another's: the heartbeat finds out as well and stops the computation.
    async fn write(&self, update: Update, may_be_lost: bool) -> bool {
        let began = Instant::now();
        loop {
            match self.queue.update(&self.lease, update.clone()).await {
                Ok(ours) => return ours,
                Err(error) => {
                    tracing::warn!(job = %self.lease.job, error = chain(&error), "progress was not recorded");
                    // The database may come back while the lease lasts.
                    if may_be_lost || began.elapsed() > self.patience {
                        return true;
                    }
                    tokio::time::sleep(PROGRESS_INTERVAL).await;
                }
            }
        }
    }
}
