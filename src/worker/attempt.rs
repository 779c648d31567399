//! One attempt at one task.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};

use super::{
    WorkerContext,
    cancel::{Stop, StopReason},
    heartbeat::Heartbeat,
    outcome::Ending,
    progress::Recorder,
    scratch::{Scratch, unusable_scratch},
    task::Task,
};
use crate::{
    compute::ComputeError,
    job::{Claim, Finish, Work},
};

/// Runs the attempt to its end and records how it ended.
pub(super) async fn run(ctx: &WorkerContext, claim: Claim, shutdown: watch::Receiver<bool>) {
    let Claim { lease, tenant, max_attempts, spec, work, limit, time_left, .. } = claim;
    tracing::info!("task started");
    let ending = Ending { lease: lease.clone(), max_attempts, limit };
    let is_part = work != Work::Whole;
    let stop = Stop::default();
    let heartbeat = Heartbeat {
        queue: Arc::clone(&ctx.queue),
        lease: lease.clone(),
        length: ctx.lease,
        time_left,
        stop: stop.clone(),
    };
    let heartbeat = tokio::spawn(heartbeat.beat(shutdown));
    let (notices, received) = mpsc::unbounded_channel();
    let part = matches!(work, Work::Shard { .. });
    let recorder = Recorder { queue: Arc::clone(&ctx.queue), lease: lease.clone(), part, patience: ctx.lease };
    let recorder = tokio::spawn(recorder.record(received));
    let (result, scratch) = match Scratch::open(&ctx.scratch, &lease) {
        Ok(scratch) => {
            let folder = scratch.path().to_owned();
            let task = Task { lease: lease.clone(), tenant, spec, work, stop: stop.clone(), notices, folder };
            (task.run(ctx).await, Some(scratch))
        }
        Err(error) => {
            drop(notices);
            (Err(ComputeError::from(unusable_scratch(&error))), None)
        }
    };
    let how = match (result, stop.reason()) {
        (Err(_), Some(StopReason::LeaseLost)) => None,
        (result, reason) => Some(ending.finish(ctx, result, reason).await),
    };
    // What an attempt to come can resume stays; and all of it, if another attempt may be at work already.
    let stays = !is_part && matches!(how, Some(Finish::Retry(..) | Finish::Released));
    if let Some(scratch) = scratch.filter(|_| how.is_some() && !stays) {
        scratch.remove();
    }
    // Only now: if the disk is full, the embedded database could not have written on. The recorder ends with the last sender,
    // so no progress event follows the event of the end.
    ended(recorder, &stop).await;
    match how {
        Some(how) => ending.record(ctx, how).await,
        None => {
            ctx.tidy(&lease).await;
            tracing::warn!("the lease was lost");
        }
    }
    heartbeat.abort();
}

/// Waits for the recorder. Once the attempt is stopped there is no time for all that it may still have to write.
async fn ended(mut recorder: JoinHandle<()>, stop: &Stop) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let stopped = Arc::new(Notify::new());
    let notify = Arc::clone(&stopped);
    let _hook = stop.canceller().on_cancel(move || notify.notify_one());
    let overdue = async {
        stopped.notified().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        _ = &mut recorder => {}
        () = overdue => {
            recorder.abort();
            let _ = recorder.await;
            tracing::warn!("what was still to be told of the attempt is lost");
        }
    }
}
