//! From the computation's notices to the job's log.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    control::Notice,
    job::{Lease, Queue, Update},
};

/// The least time between two progress events of a job.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Writes notices until the sender is gone. Progress is thinned out; the last of a phase is always written. Of one part of a
/// job that was fanned out (`part`) only progress and warnings are of interest: the phases are the whole job's.
pub(super) async fn record(
    queue: Arc<dyn Queue>,
    lease: Lease,
    part: bool,
    patience: Duration,
    mut notices: mpsc::UnboundedReceiver<Notice>,
) {
    let mut last_progress: Option<Instant> = None;
    while let Some(notice) = notices.recv().await {
        let (update, may_be_missed) = match notice {
            Notice::Phase(_) | Notice::Plan(_) if part => continue,
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
        let began = Instant::now();
        loop {
            match queue.update(&lease, update.clone()).await {
                Ok(true) => break,
                // Fenced off: the heartbeat finds out as well and stops the computation.
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(job = %lease.job, error = crate::fault::chain(&error), "progress was not recorded");
                    // The database may come back while the lease lasts.
                    if may_be_missed || began.elapsed() > patience {
                        break;
                    }
                    tokio::time::sleep(PROGRESS_INTERVAL).await;
                }
            }
        }
    }
}
