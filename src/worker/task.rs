//! What an attempt does: stage, compute, publish.

use std::{fs, path::PathBuf, sync::Arc};

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    WorkerContext,
    cancel::Stop,
    compute::{Computation, compute, failure},
    context::prefix,
    output::TaskError,
    publish::Publisher,
    scratch::unusable_scratch,
    stage::stage_within,
};
use crate::{
    backend,
    control::{Control, MemoryBudget, Notice, Phase},
    engine::EngineConfig,
    job::{AdmittedJob, Failure, Finish, JobSpec, Lease, Machine, Tenant, Work},
    pipeline::{LocalJob, PipelineError},
    storage::{Stager, StorageError, Want},
};

/// What an attempt works on, once its task was claimed.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) lease: Lease,
    pub(super) tenant: Tenant,
    pub(super) spec: JobSpec,
    pub(super) work: Work,
    pub(super) stop: Stop,
    /// To the job's log.
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) folder: PathBuf,
}

impl Task {
    /// Stages, computes and publishes. The end of the attempt, if all goes well.
    pub(super) async fn run(self, ctx: &WorkerContext) -> Result<Finish, TaskError> {
        let Task { lease, tenant, spec, work, stop, notices, folder } = self;
        let canceller = stop.canceller();
        let notify = |notice| {
            let _ = notices.send(notice);
        };
        let control = Control::new(&notify, canceller);
        control.notify(Notice::Phase(Phase::Staging));
        let engine = EngineConfig { canceller: canceller.clone(), ..ctx.engine.clone() };
        let stager = Stager {
            sources: &ctx.sources,
            tenant: &tenant,
            folder: &folder,
            cache: ctx.cache.as_ref(),
            control: &control,
        };
        let unstaged = |error: StorageError| Failure::new(&error, Some(Phase::Staging));
        let job = restore(spec)?;
        let staged = stage_within(ctx.sources.patience.job, &stager, &job.spec, Want::Model).await;
        let (files, shards) = staged.map_err(unstaged)?;
        let memory = Arc::new(MemoryBudget::new(ctx.memory_bytes));
        let statistics = ctx.cache.as_ref().map(|cache| cache.statistics(&tenant));
        let job = job.local(files, Machine { engine, memory, statistics, digests: true });
        if let (Work::Shard { index, .. }, Some(shards)) = (&work, &shards) {
            // In the same order everywhere: by name.
            let name = shards.names().nth(*index).ok_or(PipelineError::PlanChanged);
            let name = name.map_err(|error| Failure::new(&error, Some(Phase::Staging)))?;
            shards.bring(name, &control).await.map_err(unstaged)?;
        }
        let out = folder.join("out");
        fs::create_dir_all(&out).map_err(|error| unusable_scratch(&error))?;
        let publisher = Publisher {
            artifacts: ctx.artifacts.clone(),
            prefix: prefix(&lease),
            folder: out,
            canceller: canceller.clone(),
        };
        let computation = Computation {
            apart: (work == Work::Whole && shareable(ctx, &job).await).then_some(ctx.fan_out_bytes),
            work,
            notices: notices.clone(),
            runtime: Handle::current(),
            shards,
            publisher: publisher.clone(),
        };
        let output = compute(job, computation).await?;
        Ok(publisher.publish_output(output, &control).await?)
    }
}

/// The job as it was let in: the rules are parsed once for each attempt.
fn restore(spec: JobSpec) -> Result<AdmittedJob, Failure> {
    let refused = |objections| failure(&PipelineError::Objections(objections), Some(Phase::Staging));
    AdmittedJob::restore(spec).map_err(refused)
}

/// Whether another worker could share the work.
async fn shareable(ctx: &WorkerContext, job: &LocalJob) -> bool {
    // Only a folder or an index has shards; whatever else there is need not be opened just to know that.
    if !job.model.is_dir() && job.model.extension().is_none_or(|extension| extension != "json") {
        return false;
    }
    let backend = backend::find(&job.spec.backend).map_or("", |backend| backend.capabilities().name);
    ctx.fleet.capable_workers(backend, 0).await.is_ok_and(|count| count > 1)
}
