//! [`dry_run`]: what a job would do, told from the model's header or graph alone.

use std::path::Path;

use super::{attempt::unusable_scratch, scratch::Scratch, stage::stage};
use crate::{
    control::{Canceller, Control, MemoryBudget, Notice},
    engine::EngineConfig,
    fault::FaultCode,
    job::{DryRun, Failure, JobSpec, Tenant},
    pipeline::{self, LocalJob, PipelineError, Purpose},
    storage::{Cache, Sources, Stager, Want},
};

/// Makes the plan of a tenant's job. Takes the time of bringing and reading the model's header or graph; nothing is
/// computed.
pub async fn dry_run(
    (sources, cache, scratch): (&Sources, Option<&Cache>, &Path),
    tenant: &Tenant,
    spec: JobSpec,
    engine: EngineConfig,
) -> Result<DryRun, Failure> {
    let scratch = Scratch::once(scratch).map_err(|e| unusable_scratch(&e))?;
    let (notify, never) = (|_: Notice| (), Canceller::default());
    let control = Control::new(&notify, &never);
    let stager = Stager { sources, tenant, folder: scratch.path(), cache, control: &control };
    let made = match stage(&stager, spec, Want::Plan, engine, MemoryBudget::DEFAULT).await {
        Ok((job, _)) => {
            let planned = tokio::task::spawn_blocking(move || plan(&job)).await;
            planned.unwrap_or_else(|_| Err(Failure::plain(FaultCode::PlanUnavailable, "the plan could not be made")))
        }
        Err(error) => Err(Failure::new(&error, None)),
    };
    scratch.remove();
    made
}

fn plan(job: &LocalJob) -> Result<DryRun, Failure> {
    let failed = |error: PipelineError| match &error {
        PipelineError::Objections(objections) => Failure::new(&error, None).with_errors(objections),
        _ => Failure::new(&error, None),
    };
    let planned = pipeline::plan(job, Purpose::Look).map_err(failed)?;
    let predicted = planned.predict().map_err(failed)?;
    Ok(DryRun {
        plan: planned.to_json(),
        warnings: planned.warnings().to_vec(),
        bytes: predicted.weights,
        peak_bytes: predicted.peak,
        shards: planned.shard_bytes().map(|shards| shards.len()),
    })
}
