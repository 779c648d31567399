//! One attempt at one job.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{
    Workshop,
    lease::{self, Stop, StopFlag},
    notices,
    scratch::Scratch,
};
use crate::{
    backend::{DataSource, Evaluation, RunInputs},
    control::{Control, MemoryBudget, Notice, Phase},
    fault::{Fault, FaultKind, chain},
    job::{Claim, Failure, Finish, JobResult, JobSpec, Lease},
    pipeline::{self, Finished, LocalJob, PipelineError},
    storage::StorageError,
};

/// Samples per forward pass where neither the job nor the model says.
const DEFAULT_BATCH: usize = 8;

/// Runs the attempt to its end and records how it ended.
pub(super) async fn run(shop: &Workshop, claim: Claim, stop: watch::Receiver<bool>) {
    let Claim { lease, max_attempts, spec } = claim;
    tracing::info!(job = %lease.job, attempt = lease.attempt, "job started");
    let flag = Arc::new(StopFlag::default());
    let deadline = spec.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let heart = tokio::spawn(lease::keep(
        Arc::clone(&shop.store),
        lease.clone(),
        shop.lease,
        deadline,
        Arc::clone(&flag),
        stop,
    ));
    let (sender, receiver) = mpsc::unbounded_channel();
    let recorder = tokio::spawn(notices::record(Arc::clone(&shop.store), lease.clone(), receiver));
    let (made, scratch) = match Scratch::open(&shop.scratch, &lease) {
        Ok(scratch) => (make(shop, &lease, spec, &flag, sender, scratch.path()).await, Some(scratch)),
        Err(error) => (Err(unusable_scratch(&error)), None),
    };
    // The recorder ends with the last sender, so no progress event follows the event of the end.
    let _ = recorder.await;
    let how = match made {
        Ok(result) => Finish::Succeeded(result),
        Err(failure) => match flag.why() {
            Stop::Lost => {
                heart.abort();
                return tracing::warn!(job = %lease.job, attempt = lease.attempt, "the lease was lost");
            }
            Stop::Shutdown => Finish::Released,
            Stop::Deadline => {
                let message =
                    format!("the job ran longer than its limit of {} s", deadline.unwrap_or_default().as_secs());
                let mut failure = Failure { phase: failure.phase, ..Failure::plain("timed_out", message, false) };
                failure.hint = Some("raise `timeout_seconds`, or use fewer samples".to_owned());
                Finish::TimedOut(failure)
            }
            Stop::No => match shop.retry.wait(&failure, lease.attempt, max_attempts, jitter(&lease)) {
                Some(wait) => Finish::Retry(failure, wait),
                None => Finish::Failed(failure),
            },
        },
    };
    // What an attempt to come can resume stays.
    if let Some(scratch) = scratch.filter(|_| !matches!(how, Finish::Retry(..) | Finish::Released)) {
        scratch.remove();
    }
    finish(shop, &lease, how).await;
    heart.abort();
}

fn unusable_scratch(error: &std::io::Error) -> Failure {
    let message = format!("the scratch folder cannot be used: {error}");
    Failure { phase: Some(Phase::Staging), ..Failure::plain("scratch_unusable", message, true) }
}

/// Records the end; tries again while the database is away, for as long as the lease may last.
async fn finish(shop: &Workshop, lease: &Lease, how: Finish) {
    for attempt in 0..5 {
        match shop.store.finish(lease, how.clone()).await {
            Ok(true) => return tracing::info!(job = %lease.job, outcome = outcome(&how), "job ended"),
            Ok(false) => {
                if let Finish::Succeeded(result) = &how {
                    shop.artifacts.discard(&result.prefix).await;
                }
                return tracing::warn!(job = %lease.job, "the lease was lost before the end was recorded");
            }
            Err(error) => {
                tracing::error!(job = %lease.job, error = chain(&error), "the end was not recorded");
                tokio::time::sleep(shop.lease / 10 * (attempt + 1)).await;
            }
        }
    }
}

fn outcome(how: &Finish) -> String {
    match how {
        Finish::Succeeded(_) => "succeeded".to_owned(),
        Finish::Failed(failure) | Finish::TimedOut(failure) => failure.code.clone(),
        Finish::Retry(failure, wait) => format!("{}, again in {wait:?}", failure.code),
        Finish::Released => "released".to_owned(),
    }
}

/// A number in 0..1 that differs between attempts: the last digits of the lease's random token.
fn jitter(lease: &Lease) -> f64 {
    let tail = lease.token.get(lease.token.len().saturating_sub(8)..).unwrap_or_default();
    u32::from_str_radix(tail, 16).map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

/// Stages, computes and publishes.
async fn make(
    shop: &Workshop,
    lease: &Lease,
    spec: JobSpec,
    flag: &Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
    scratch: &Path,
) -> Result<JobResult, Failure> {
    let send = |phase| {
        let _ = sender.send(Notice::Phase(phase));
    };
    send(Phase::Staging);
    let job = stage(shop, spec).map_err(|e| Failure::new(&e, Some(Phase::Staging)))?;
    let finished = compute(job, scratch.to_owned(), Arc::clone(flag), sender.clone()).await?;
    send(Phase::Publishing);
    let prefix = format!("{}/{}", lease.job, lease.token);
    if let Err(error) = shop.artifacts.publish(&prefix, scratch, &finished.artifacts).await {
        shop.artifacts.discard(&prefix).await;
        return Err(Failure::new(&error, Some(Phase::Publishing)));
    }
    Ok(JobResult {
        prefix,
        artifacts: finished.artifacts,
        summary: json!(finished.report.summary),
        quality_gate: json!(finished.report.quality_gate),
    })
}

/// Brings the inputs to local paths.
fn stage(shop: &Workshop, spec: JobSpec) -> Result<LocalJob, StorageError> {
    let checked = spec.check();
    let source = |uri: &str, max: Option<u32>, batch: Option<u32>, preprocess: &Option<_>| {
        Ok::<_, StorageError>(DataSource {
            path: shop.sources.locate(uri)?,
            max_samples: max.map(|n| n as usize),
            batch_size: batch.map_or(DEFAULT_BATCH, |n| n as usize),
            preprocess: preprocess.clone(),
        })
    };
    let calibration = spec.calibration.as_ref().map(|c| source(&c.uri, c.max_samples, c.batch_size, &c.preprocess));
    let evaluation = spec.evaluation.as_ref().map(|e| {
        let data = source(&e.uri, e.max_samples, e.batch_size, &e.preprocess)?;
        Ok(Evaluation { data, labels: e.labels.clone() })
    });
    Ok(LocalJob {
        model: shop.sources.locate(&spec.model.uri)?,
        inputs: RunInputs {
            calibration: calibration.transpose()?,
            evaluation: evaluation.transpose()?,
            engine: shop.engine.clone(),
            memory: Arc::new(MemoryBudget::new(shop.memory_bytes)),
        },
        spec: checked.quantize,
        warnings: checked.warnings,
        quality_gate: spec.quality_gate,
        digests: true,
    })
}

/// Runs the pipeline on a thread of its own. A panic there fails the job, not the worker.
async fn compute(
    job: LocalJob,
    out: PathBuf,
    flag: Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
) -> Result<Finished, Failure> {
    let joined = tokio::task::spawn_blocking(move || run_pipeline(&job, &out, &flag, &sender)).await;
    joined.unwrap_or_else(|panic| {
        tracing::error!(%panic, "the pipeline panicked");
        Err(Failure::plain("internal_error", "an error of ours ended the computation; the server's log has more", true))
    })
}

fn run_pipeline(
    job: &LocalJob,
    out: &Path,
    flag: &StopFlag,
    sender: &mpsc::UnboundedSender<Notice>,
) -> Result<Finished, Failure> {
    let phase = Mutex::new(None);
    let notify = |notice: Notice| {
        if let Notice::Phase(now) = &notice {
            *phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
        }
        let _ = sender.send(notice);
    };
    let control = Control::new(&notify, &flag.cancel);
    pipeline::run(job, out, &control).map_err(|error| {
        let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
        if error.kind() == FaultKind::Environment {
            tracing::warn!(error = chain(&error), "the pipeline failed on its surroundings");
        }
        let failure = Failure::new(&error, phase);
        match &error {
            PipelineError::Objections(objections) => failure.with_errors(objections),
            _ => failure,
        }
    })
}
