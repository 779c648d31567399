//! From the computation's notices to the job's log.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    control::Notice,
    job::{JobStore, Lease, Update},
};

/// The least time between two progress events of a job.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Writes notices until the sender is gone. Progress is thinned out; the last of a phase is always written.
pub(super) async fn record(store: Arc<dyn JobStore>, lease: Lease, mut notices: mpsc::UnboundedReceiver<Notice>) {
    let mut last_progress: Option<Instant> = None;
    while let Some(notice) = notices.recv().await {
        let update = match notice {
            Notice::Phase(phase) => {
                last_progress = None;
                Update::Phase(phase.name().to_owned())
            }
            Notice::Progress(phase, progress) => {
                let last = progress.units_done >= progress.units_total;
                if !last && last_progress.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
                    continue;
                }
                last_progress = Some(Instant::now());
                Update::Progress(phase.name().to_owned(), progress)
            }
            Notice::Plan(plan) => Update::Plan(plan),
            Notice::Warning(warning) => Update::Warning(warning),
        };
        match store.update(&lease, update).await {
            Ok(true) => {}
            // Fenced off: the heartbeat finds out as well and stops the computation.
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(job = %lease.job, error = crate::fault::chain(&error), "progress was not recorded");
            }
        }
    }
}
