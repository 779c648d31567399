//! How an attempt ends, and recording it.

use std::time::Duration;

use super::{WorkerContext, cancel::StopReason};
use crate::{
    backend::BACKENDS,
    compute::ComputeError,
    fault::{FaultCode, chain},
    job::{Failure, Finish, Lease},
    telemetry,
};

/// What the end of an attempt depends on, besides how it went.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) lease: Lease,
    pub(super) max_attempts: i64,
    /// The longest an attempt of the job may run; no limit without it.
    pub(super) limit: Option<Duration>,
}

impl Ending {
    /// How the attempt ends. What was finished counts, whatever it was asked to stop for.
    pub(super) async fn finish(
        &self,
        ctx: &WorkerContext,
        result: Result<Finish, ComputeError>,
        reason: Option<StopReason>,
    ) -> Finish {
        let ComputeError { failure, needs_bytes } = match result {
            Ok(how) => return how,
            Err(error) => error,
        };
        match reason {
            Some(StopReason::Cancelled | StopReason::LeaseLost) => Finish::Cancelled,
            Some(StopReason::Shutdown) => Finish::Released,
            Some(StopReason::Deadline) => {
                let limit = self.limit.unwrap_or_default().as_secs();
                let message = format!("the job ran longer than its limit of {limit} s");
                let failure = Failure::plain(FaultCode::TimedOut, message).with_phase(failure.phase);
                Finish::TimedOut(failure.with_hint("raise `timeout_seconds`, or use fewer samples"))
            }
            None => match elsewhere(ctx, needs_bytes).await {
                Some(needs_bytes) => Finish::TooSmall { needs_bytes },
                None => match ctx.retry.wait(&failure, self.lease.attempt, self.max_attempts, jitter(&self.lease)) {
                    Some(wait) => Finish::Retry(failure, wait),
                    None => Finish::Failed(failure),
                },
            },
        }
    }

    /// Records the end; tries again while the database is away, for as long as the lease may last.
    pub(super) async fn record(&self, ctx: &WorkerContext, how: Finish) {
        for attempt in 0..6 {
            match ctx.queue.finish(&self.lease, how.clone()).await {
                Ok(true) => {
                    tracing::info!(outcome = outcome(&how), "task ended");
                    count(&how);
                    if !matches!(how, Finish::Succeeded(_) | Finish::ShardDone(_) | Finish::FanOut(_)) {
                        ctx.tidy(&self.lease).await;
                    }
                    return;
                }
                Ok(false) => {
                    // Either another has the job, or an answer of the database was lost on its way: then what was published
                    // is in use.
                    ctx.tidy(&self.lease).await;
                    return tracing::warn!("the lease was gone before the end was recorded");
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "the end was not recorded");
                    tokio::time::sleep(ctx.lease / 10 * (attempt + 1)).await;
                }
            }
        }
    }
}

/// What a task needs, if it is more than this worker has and another one that is alive has it.
async fn elsewhere(ctx: &WorkerContext, needs_bytes: Option<u64>) -> Option<u64> {
    let needs = needs_bytes?;
    // Only the engine can need too much; a worker that offers a backend with it has it.
    let backend = BACKENDS.iter().map(|backend| backend.capabilities()).find(|backend| backend.needs_engine)?;
    ctx.fleet.capable_workers(backend.name, needs).await.is_ok_and(|count| count > 0).then_some(needs)
}

/// The end in words, for the log.
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

/// Counts the attempt in the metrics, by its outcome and the code of its failure.
fn count(how: &Finish) {
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
