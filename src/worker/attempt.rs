//! One attempt at one task.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{
    WorkerContext,
    lease::{self, Stop, StopFlag},
    notices,
    run::{TaskError, run_task},
    scratch::Scratch,
};
use crate::{
    backend::BACKENDS,
    control::Phase,
    fault::{FaultCode, chain},
    job::{Claim, Failure, Finish, Lease, Work},
};

/// Runs the attempt to its end and records how it ended.
pub(super) async fn run(ctx: &WorkerContext, claim: Claim, stop: watch::Receiver<bool>) {
    let Claim { lease, tenant, max_attempts, spec, work, time_left, .. } = claim;
    tracing::info!("task started");
    let limit = spec.timeout_seconds;
    let part = work != Work::Whole;
    let flag = Arc::new(StopFlag::default());
    let heart =
        tokio::spawn(lease::keep(Arc::clone(&ctx.queue), lease.clone(), ctx.lease, time_left, Arc::clone(&flag), stop));
    let (sender, receiver) = mpsc::unbounded_channel();
    let shard = matches!(work, Work::Shard { .. });
    let recorder = tokio::spawn(notices::record(Arc::clone(&ctx.queue), lease.clone(), shard, ctx.lease, receiver));
    let (made, scratch) = match Scratch::open(&ctx.scratch, &lease) {
        Ok(scratch) => {
            (run_task(ctx, (&lease, &tenant), (spec, work), &flag, sender, scratch.path()).await, Some(scratch))
        }
        Err(error) => (Err(unusable_scratch(&error).into()), None),
    };
    let how = match (made, flag.why()) {
        (Ok(how), _) => how,
        (_, Stop::Lost) => {
            let _ = recorder.await;
            heart.abort();
            ctx.tidy(&lease).await;
            return tracing::warn!("the lease was lost");
        }
        (_, Stop::Cancelled) => Finish::Cancelled,
        (_, Stop::Shutdown) => Finish::Released,
        (Err(TaskError { failure, .. }), Stop::Deadline) => {
            let message = format!("the job ran longer than its limit of {} s", limit.unwrap_or_default());
            let failure = Failure::plain(FaultCode::TimedOut, message).with_phase(failure.phase);
            Finish::TimedOut(failure.with_hint("raise `timeout_seconds`, or use fewer samples"))
        }
        (Err(TaskError { failure, needs_bytes }), Stop::No) => match elsewhere(ctx, needs_bytes).await {
            Some(needs_bytes) => Finish::TooSmall { needs_bytes },
            None => match ctx.retry.wait(&failure, lease.attempt, max_attempts, jitter(&lease)) {
                Some(wait) => Finish::Retry(failure, wait),
                None => Finish::Failed(failure),
            },
        },
    };
    // What an attempt to come can resume stays.
    if let Some(scratch) = scratch.filter(|_| part || !matches!(how, Finish::Retry(..) | Finish::Released)) {
        scratch.remove();
    }
    // Only now: if the disk is full, the embedded database could not have written on. The recorder ends with the last sender,
    // so no progress event follows the event of the end.
    let _ = recorder.await;
    finish(ctx, &lease, how).await;
    heart.abort();
}

/// What a task needs, if it is more than this worker has and another one that is alive has it.
async fn elsewhere(ctx: &WorkerContext, needs_bytes: Option<u64>) -> Option<u64> {
    let needs = needs_bytes?;
    // Only a backend that runs models fails so.
    let backend = BACKENDS.iter().map(|backend| backend.capabilities()).find(|backend| backend.needs_engine)?;
    ctx.queue.capable_workers(backend.name, needs).await.is_ok_and(|count| count > 0).then_some(needs)
}

pub(super) fn unusable_scratch(error: &std::io::Error) -> Failure {
    let message = format!("the scratch folder cannot be used: {error}");
    Failure::plain(FaultCode::ScratchUnusable, message).with_phase(Some(Phase::Staging))
}

/// Records the end; tries again while the database is away, for as long as the lease may last.
async fn finish(ctx: &WorkerContext, lease: &Lease, how: Finish) {
    for attempt in 0..6 {
        match ctx.queue.finish(lease, how.clone()).await {
            Ok(true) => {
                tracing::info!(outcome = outcome(&how), "task ended");
                ctx.record_outcome(&how);
                if !matches!(how, Finish::Succeeded(_) | Finish::ShardDone(_) | Finish::FanOut(_)) {
                    ctx.tidy(lease).await;
                }
                return;
            }
            Ok(false) => {
                // Either another has the job, or an answer of the database was lost on its way: then what was published is
                // in use.
                ctx.tidy(lease).await;
                return tracing::warn!("the lease was gone before the end was recorded");
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "the end was not recorded");
                tokio::time::sleep(ctx.lease / 10 * (attempt + 1)).await;
            }
        }
    }
}

fn outcome(how: &Finish) -> String {
    match how {
        Finish::Succeeded(_) => "succeeded".to_owned(),
        Finish::Failed(failure) | Finish::TimedOut(failure) => failure.code.to_string(),
        Finish::Retry(failure, wait) => format!("{}, again in {wait:?}", failure.code),
        Finish::Cancelled => "cancelled".to_owned(),
        Finish::Released => "released".to_owned(),
        Finish::TooSmall { needs_bytes } => format!("left to a worker with {} MiB", needs_bytes >> 20),
        Finish::FanOut(shards) => format!("taken apart into {} shards", shards.len()),
        Finish::ShardDone(_) => "shard done".to_owned(),
    }
}

/// A number in 0..1 that differs between attempts: the last digits of the lease's random token.
fn jitter(lease: &Lease) -> f64 {
    let tail = lease.token.get(lease.token.len().saturating_sub(8)..).unwrap_or_default();
    u32::from_str_radix(tail, 16).map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_between_zero_and_one() {
        let lease = |token: &str| {
            let job = crate::job::JobId::from_uuid(1);
            Lease { job, task: 0, token: token.to_owned(), attempt: 1 }
        };
        assert_eq!(jitter(&lease("0000000000000000ffffffff")), 1.0);
        assert_eq!(jitter(&lease("000000000000000000000000")), 0.0);
        assert_eq!(jitter(&lease("short")), 0.5);
    }
}
