//! What an attempt does: stage, compute, publish.

use std::{fs, path::PathBuf};

use tokio::sync::mpsc;

use super::{
    WorkerContext, cancel::Stop, compute::Computation, context::prefix, publish::Publisher, scratch::unusable_scratch,
    stage::stage_within,
};
use crate::{
    compute::ComputeError,
    control::{Control, Notice, Phase},
    job::{AdmittedJob, Failure, Finish, InputFiles, JobSpec, Lease, Tenant, Work},
    panics::blocking,
    pipeline::PipelineError,
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
    pub(super) async fn run(self, ctx: &WorkerContext) -> Result<Finish, ComputeError> {
        let Task { lease, tenant, spec, work, stop, notices, folder } = self;
        let canceller = stop.canceller();
        let notify = |notice| {
            let _ = notices.send(notice);
        };
        let control = Control::new(&notify, canceller);
        control.notify(Notice::Phase(Phase::Staging));
        let stager = Stager {
            sources: &ctx.sources,
            tenant: &tenant,
            folder: &folder,
            companions: &ctx.compute,
            cache: ctx.cache.as_ref(),
            control: &control,
        };
        let unstaged = |error: StorageError| Failure::new(&error, Some(Phase::Staging));
        let staged = stage_within(ctx.sources.patience.job, &stager, &spec, Want::Model).await;
        let (files, shards) = staged.map_err(unstaged)?;
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
            apart: (work == Work::Whole && shareable(ctx, &spec, &files).await).then_some(ctx.fan_out_bytes),
            spec,
            files: files.into(),
            work,
            notices: notices.clone(),
            shards,
            statistics: ctx.cache.as_ref().and_then(|cache| cache.statistics(&tenant)),
            publisher: publisher.clone(),
        };
        let output = computation.run(ctx).await?;
        Ok(publisher.publish_output(output, &control).await?)
    }
}

/// Whether another worker could share the work.
async fn shareable(ctx: &WorkerContext, spec: &JobSpec, files: &InputFiles) -> bool {
    // Only a folder or an index has shards; whatever else there is need not be opened just to know that.
    if !files.model.is_dir() && files.model.extension().is_none_or(|extension| extension != "json") {
        return false;
    }
    let spec = spec.clone();
    let Ok(Ok(job)) = blocking(move || AdmittedJob::restore(spec)).await else { return false };
    ctx.fleet.capable_workers(job.backend, 0).await.is_ok_and(|count| count > 1)
}
