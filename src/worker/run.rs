//! What an attempt does: stage, compute, publish.

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::mpsc};

use super::{WorkerContext, attempt::unusable_scratch, lease::StopFlag, shard_pipeline::ShardsInFlight, stage::stage};
use crate::{
    control::{Control, Notice, Phase},
    engine::EngineConfig,
    fault::{Fault, FaultCode, chain},
    job::{Failure, Finish, JobResult, JobSpec, Lease, StoredArtifact, Tenant, Work},
    pipeline::{self, Finished, LocalJob, PipelineError, Purpose, ShardDone},
    report::Artifact,
    storage::{Artifacts, RemoteShards, Stager, StorageError, Want},
};

/// Why an attempt left nothing.
#[derive(Debug)]
pub(super) struct TaskError {
    pub(super) failure: Failure,
    /// The memory that it would need, if that is why.
    pub(super) needs_bytes: Option<u64>,
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        TaskError { failure, needs_bytes: None }
    }
}

/// What a computation made.
enum TaskOutput {
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
pub(super) async fn run_task(
    ctx: &WorkerContext,
    (lease, tenant): (&Lease, &Tenant),
    (spec, work): (JobSpec, Work),
    flag: &Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
    scratch: &Path,
) -> Result<Finish, TaskError> {
    let notify = |notice| {
        let _ = sender.send(notice);
    };
    notify(Notice::Phase(Phase::Staging));
    let control = Control::new(&notify, &flag.canceller);
    let engine = EngineConfig { canceller: flag.canceller.clone(), ..ctx.engine.clone() };
    let unstaged = |e: StorageError| Failure::new(&e, Some(Phase::Staging));
    let cache = ctx.cache.as_ref();
    let stager = Stager { sources: &ctx.sources, tenant, folder: scratch, cache, control: &control };
    let (job, shards) = stage(&stager, spec, Want::Model, engine, ctx.memory_bytes).await.map_err(unstaged)?;
    if let (Work::Shard { index, .. }, Some(shards)) = (&work, &shards) {
        // In the same order everywhere: by name.
        let name = shards.names().nth(*index).ok_or(PipelineError::PlanChanged);
        let name = name.map_err(|e| Failure::new(&e, Some(Phase::Staging)))?;
        shards.bring(name, &control).await.map_err(unstaged)?;
    }
    let out = scratch.join("out");
    fs::create_dir_all(&out).map_err(|e| unusable_scratch(&e))?;
    let prefix = format!("{}/{}", lease.job, lease.token);
    let task = Task {
        apart: (work == Work::Whole && others(ctx, &job).await).then_some(ctx.fan_out_bytes),
        work,
        out: out.clone(),
        flag: Arc::clone(flag),
        sender: sender.clone(),
        runtime: Handle::current(),
        shards,
        artifacts: ctx.artifacts.clone(),
        prefix: prefix.clone(),
    };
    let made = compute(job, task).await?;
    let (finished, shards) = match made {
        TaskOutput::Apart(bytes) => return Ok(Finish::FanOut(bytes)),
        TaskOutput::Shard(done) => {
            publish(ctx, &prefix, &out, slice::from_ref(&done.artifact), flag).await?;
            return Ok(Finish::ShardDone(json!(ShardOutput { done: *done, prefix })));
        }
        TaskOutput::Whole(finished) => (finished, Vec::new()),
        TaskOutput::Joined(finished, shards) => (finished, shards),
    };
    notify(Notice::Phase(Phase::Publishing));
    let elsewhere = |artifact: &Artifact| shards.iter().find(|shard| shard.done.artifact.name == artifact.name);
    let here: Vec<Artifact> =
        finished.artifacts.iter().filter(|artifact| elsewhere(artifact).is_none()).cloned().collect();
    publish(ctx, &prefix, &out, &here, flag).await?;
    let stored = |artifact: &Artifact| StoredArtifact {
        artifact: artifact.clone(),
        prefix: elsewhere(artifact).map(|shard| shard.prefix.clone()).filter(|other| *other != prefix),
    };
    Ok(Finish::Succeeded(JobResult {
        artifacts: finished.artifacts.iter().map(stored).collect(),
        summary: json!(finished.report.summary),
        quality_gate: json!(finished.report.quality_gate),
        prefix,
    }))
}

/// Publishes files under a prefix of the attempt's own, or nothing.
async fn publish(
    ctx: &WorkerContext,
    prefix: &str,
    out: &Path,
    artifacts: &[Artifact],
    flag: &StopFlag,
) -> Result<(), Failure> {
    let published = ctx.artifacts.publish(prefix, out, artifacts, &flag.canceller).await;
    if published.is_err() {
        ctx.artifacts.discard(prefix).await;
    }
    published.map_err(|error| Failure::new(&error, Some(Phase::Publishing)))
}

/// Whether another worker could share the work.
async fn others(ctx: &WorkerContext, job: &LocalJob) -> bool {
    // Only a folder or an index has shards; whatever else there is need not be opened twice to know that.
    if !job.model.is_dir() && job.model.extension().is_none_or(|extension| extension != "json") {
        return false;
    }
    let backend = crate::backend::find(&job.spec.backend).map_or("", |backend| backend.capabilities().name);
    ctx.queue.capable_workers(backend, 0).await.is_ok_and(|count| count > 1)
}

/// What the computation of one task works with, besides the job.
struct Task {
    work: Work,
    /// The least size that is worth sharing among workers, if there are others.
    apart: Option<u64>,
    out: PathBuf,
    flag: Arc<StopFlag>,
    sender: mpsc::UnboundedSender<Notice>,
    runtime: Handle,
    /// Shards that are elsewhere.
    shards: Option<RemoteShards>,
    artifacts: Artifacts,
    /// Where in the store the attempt publishes.
    prefix: String,
}

/// Runs the pipeline on a thread of its own. A panic there fails the job, not the worker.
async fn compute(job: LocalJob, task: Task) -> Result<TaskOutput, TaskError> {
    let span = tracing::info_span!("compute");
    let run = move || span.in_scope(|| task.run(&job));
    let joined = tokio::task::spawn_blocking(run).await;
    joined.unwrap_or_else(|panic| {
        tracing::error!(%panic, "the pipeline panicked");
        let message = "an error of ours ended the computation; the server's log has more";
        Err(Failure::plain(FaultCode::InternalError, message).into())
    })
}

impl Task {
    fn run(self, job: &LocalJob) -> Result<TaskOutput, TaskError> {
        let phase = Mutex::new(None);
        let notify = |notice: Notice| {
            if let Notice::Phase(now) = &notice {
                *phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
            }
            let _ = self.sender.send(notice);
        };
        let made = self.execute(job, &Control::new(&notify, &self.flag.canceller));
        made.map_err(|error| {
            let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
            if error.code().retryable() {
                tracing::warn!(error = chain(&error), "the pipeline failed on its surroundings");
            }
            let failure = Failure::new(&error, phase);
            let failure = match &error {
                PipelineError::Objections(objections) => failure.with_errors(objections),
                _ => failure,
            };
            TaskError { failure, needs_bytes: error.needs_bytes() }
        })
    }

    fn execute(&self, job: &LocalJob, control: &Control<'_>) -> Result<TaskOutput, PipelineError> {
        let out = &self.out;
        match &self.work {
            Work::Whole => {
                if let Some(shards) = self.apart.map(|least| worth_sharing(job, least, control)).transpose()?.flatten()
                {
                    return Ok(TaskOutput::Apart(shards));
                }
                match &self.shards {
                    Some(shards) => self.on_belt(job, shards, control),
                    None => Ok(TaskOutput::Whole(pipeline::run(job, out, control)?)),
                }
            }
            Work::Shard { index, plan } => {
                Ok(TaskOutput::Shard(Box::new(pipeline::run_shard(job, plan, *index, out, control)?)))
            }
            Work::Join { plan, outputs } => {
                // Written by this version or one that this one can read; anything else is another version's.
                let read = |output: &Value| ShardOutput::deserialize(output).map_err(|_| PipelineError::PlanChanged);
                let shards: Vec<ShardOutput> = outputs.iter().map(read).collect::<Result<_, _>>()?;
                let done = shards.iter().map(|shard| shard.done.clone()).collect();
                Ok(TaskOutput::Joined(pipeline::join(job, plan, done, out, control)?, shards))
            }
        }
    }

    /// The whole job, its shards published as they are made.
    fn on_belt(
        &self,
        job: &LocalJob,
        shards: &RemoteShards,
        control: &Control<'_>,
    ) -> Result<TaskOutput, PipelineError> {
        let Task { runtime, artifacts, prefix, out, flag, .. } = self;
        let remote = ShardsInFlight::start(
            runtime.clone(),
            shards.clone(),
            artifacts.clone(),
            prefix.clone(),
            out.clone(),
            flag,
        );
        let (finished, done) = pipeline::run_streamed(job, out, control, &remote)?;
        control.notify(Notice::Phase(Phase::Publishing));
        remote.finish()?;
        let outputs = done.into_iter().map(|done| ShardOutput { done, prefix: prefix.clone() });
        Ok(TaskOutput::Joined(finished, outputs.collect()))
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
