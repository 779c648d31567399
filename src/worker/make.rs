//! What an attempt does: stage, compute, publish.

use std::{
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Workshop, lease::StopFlag};
use crate::{
    backend::{DataSource, Evaluation, RunInputs},
    control::{Control, MemoryBudget, Notice, Phase},
    engine::EngineConfig,
    fault::{Fault, FaultKind, chain},
    job::{Failure, Finish, JobResult, JobSpec, Lease, Stored, Work},
    pipeline::{self, Finished, LocalJob, PipelineError, Purpose, ShardDone},
    report::Artifact,
    storage::{Sources, StorageError},
};

/// Samples per forward pass where neither the job nor the model says.
const DEFAULT_BATCH: usize = 8;

/// Why an attempt left nothing.
#[derive(Debug)]
pub(super) struct Unmade {
    pub(super) failure: Failure,
    /// The memory that it would need, if that is why.
    pub(super) needs_bytes: Option<u64>,
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Unmade { failure, needs_bytes: None }
    }
}

/// What a computation made.
enum Made {
    /// The files of a whole job.
    Whole(Finished),
    /// The files of a job beside the shards, which were published before.
    Joined(Finished, Vec<ShardOutput>),
    /// A shard.
    Shard(Box<ShardDone>),
    /// The job is to be taken apart into shards of so many bytes.
    Apart(Vec<u64>),
}

/// What a shard's task leaves for the join's.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ShardOutput {
    done: ShardDone,
    /// The prefix of its file in the store.
    prefix: String,
}

/// Stages, computes and publishes. The end of the attempt, if all goes well.
pub(super) async fn make(
    shop: &Workshop,
    lease: &Lease,
    (spec, work): (JobSpec, Work),
    flag: &Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
    scratch: &Path,
) -> Result<Finish, Unmade> {
    let send = |phase| {
        let _ = sender.send(Notice::Phase(phase));
    };
    send(Phase::Staging);
    let engine = EngineConfig { brake: flag.brake.clone(), ..shop.engine.clone() };
    let job =
        stage(&shop.sources, spec, engine, shop.memory_bytes).map_err(|e| Failure::new(&e, Some(Phase::Staging)))?;
    let apart = (work == Work::Whole && others(shop, &job).await).then_some(shop.fan_out_bytes);
    let made = compute(job, work, apart, scratch.to_owned(), Arc::clone(flag), sender.clone()).await?;
    let (finished, shards) = match made {
        Made::Apart(bytes) => return Ok(Finish::FanOut(bytes)),
        Made::Shard(done) => {
            let prefix = publish(shop, lease, scratch, slice::from_ref(&done.artifact), flag).await?;
            return Ok(Finish::ShardDone(json!(ShardOutput { done: *done, prefix })));
        }
        Made::Whole(finished) => (finished, Vec::new()),
        Made::Joined(finished, shards) => (finished, shards),
    };
    send(Phase::Publishing);
    let elsewhere = |artifact: &Artifact| shards.iter().find(|shard| shard.done.artifact.name == artifact.name);
    let here: Vec<Artifact> =
        finished.artifacts.iter().filter(|artifact| elsewhere(artifact).is_none()).cloned().collect();
    let prefix = publish(shop, lease, scratch, &here, flag).await?;
    let stored = |artifact: &Artifact| Stored {
        artifact: artifact.clone(),
        prefix: elsewhere(artifact).map(|shard| shard.prefix.clone()),
    };
    Ok(Finish::Succeeded(JobResult {
        artifacts: finished.artifacts.iter().map(stored).collect(),
        summary: json!(finished.report.summary),
        quality_gate: json!(finished.report.quality_gate),
        prefix,
    }))
}

/// Publishes files under a prefix of the attempt's own, or nothing. The prefix.
async fn publish(
    shop: &Workshop,
    lease: &Lease,
    scratch: &Path,
    artifacts: &[Artifact],
    flag: &StopFlag,
) -> Result<String, Failure> {
    let prefix = format!("{}/{}", lease.job, lease.token);
    if let Err(error) = shop.artifacts.publish(&prefix, scratch, artifacts, &flag.cancel).await {
        shop.artifacts.discard(&prefix).await;
        return Err(Failure::new(&error, Some(Phase::Publishing)));
    }
    Ok(prefix)
}

/// Whether another worker could share the work.
async fn others(shop: &Workshop, job: &LocalJob) -> bool {
    // Only a folder or an index has shards; whatever else there is need not be opened twice to know that.
    if !job.model.is_dir() && job.model.extension().is_none_or(|extension| extension != "json") {
        return false;
    }
    let backend = crate::backend::find(&job.spec.backend).map_or("", |backend| backend.capabilities().name);
    shop.queue.able(backend, 0).await.is_ok_and(|count| count > 1)
}

/// Brings the inputs to local paths.
pub(super) fn stage(
    sources: &Sources,
    spec: JobSpec,
    engine: EngineConfig,
    memory_bytes: u64,
) -> Result<LocalJob, StorageError> {
    let checked = spec.check();
    let source = |uri: &str, max: Option<u32>, batch: Option<u32>, preprocess: &Option<_>| {
        Ok::<_, StorageError>(DataSource {
            path: sources.locate(uri)?,
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
        model: sources.locate(&spec.model.uri)?,
        inputs: RunInputs {
            calibration: calibration.transpose()?,
            evaluation: evaluation.transpose()?,
            engine,
            memory: Arc::new(MemoryBudget::new(memory_bytes)),
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
    work: Work,
    apart: Option<u64>,
    out: PathBuf,
    flag: Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
) -> Result<Made, Unmade> {
    let span = tracing::info_span!("compute");
    let run = move || span.in_scope(|| run_pipeline(&job, work, apart, &out, &flag, &sender));
    let joined = tokio::task::spawn_blocking(run).await;
    joined.unwrap_or_else(|panic| {
        tracing::error!(%panic, "the pipeline panicked");
        let message = "an error of ours ended the computation; the server's log has more";
        Err(Failure::plain("internal_error", message, true).into())
    })
}

fn run_pipeline(
    job: &LocalJob,
    work: Work,
    apart: Option<u64>,
    out: &Path,
    flag: &StopFlag,
    sender: &mpsc::UnboundedSender<Notice>,
) -> Result<Made, Unmade> {
    let phase = Mutex::new(None);
    let notify = |notice: Notice| {
        if let Notice::Phase(now) = &notice {
            *phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
        }
        let _ = sender.send(notice);
    };
    let control = Control::new(&notify, &flag.cancel);
    do_work(job, work, apart, out, &control).map_err(|error| {
        let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
        if error.kind() == FaultKind::Environment {
            tracing::warn!(error = chain(&error), "the pipeline failed on its surroundings");
        }
        let failure = Failure::new(&error, phase);
        let failure = match &error {
            PipelineError::Objections(objections) => failure.with_errors(objections),
            _ => failure,
        };
        Unmade { failure, needs_bytes: error.needs_bytes() }
    })
}

fn do_work(
    job: &LocalJob,
    work: Work,
    apart: Option<u64>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Made, PipelineError> {
    match work {
        Work::Whole => {
            if let Some(shards) = apart.map(|least| worth_sharing(job, least, control)).transpose()?.flatten() {
                return Ok(Made::Apart(shards));
            }
            Ok(Made::Whole(pipeline::run(job, out, control)?))
        }
        Work::Shard { index, plan } => Ok(Made::Shard(Box::new(pipeline::run_shard(job, &plan, index, out, control)?))),
        Work::Join { plan, outputs } => {
            // Written by this version or one that this one can read; anything else is another version's.
            let read = |output: Value| serde_json::from_value(output).map_err(|_| PipelineError::PlanChanged);
            let shards: Vec<ShardOutput> = outputs.into_iter().map(read).collect::<Result<_, _>>()?;
            let done = shards.iter().map(|shard| shard.done.clone()).collect();
            Ok(Made::Joined(pipeline::join(job, &plan, done, out, control)?, shards))
        }
    }
}

/// The bytes of each shard, if there are enough of them to be shared among workers.
fn worth_sharing(job: &LocalJob, least: u64, control: &Control<'_>) -> Result<Option<Vec<u64>>, PipelineError> {
    control.notify(Notice::Phase(Phase::Validating));
    let planned = pipeline::plan(job, Purpose::Run)?;
    let shards = planned.shard_bytes().filter(|shards| shards.iter().sum::<u64>() >= least);
    if shards.is_some() {
        planned.announce(control)?;
    }
    Ok(shards)
}
