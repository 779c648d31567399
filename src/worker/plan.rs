//! [`dry_run`]: what a job would do, as far as it shows in the model's header or graph alone.

use std::{path::Path, sync::Arc};

use super::{
    compute::failure,
    scratch::{Scratch, unusable_scratch},
    stage::stage_within,
};
use crate::{
    control::{Canceller, Control, MemoryBudget, Notice},
    engine::EngineConfig,
    job::{AdmittedJob, DryRun, Failure, Machine, Tenant},
    panics::blocking,
    pipeline::{self, LocalJob, Purpose},
    storage::{Cache, Sources, Stager, Want},
};

/// Makes the plan of a tenant's job, in a folder of its own below `scratch`. Takes the time of bringing and reading the
/// model's header or graph; nothing is computed.
pub async fn dry_run(
    sources: &Sources,
    cache: Option<&Cache>,
    scratch: &Path,
    tenant: &Tenant,
    job: AdmittedJob,
    engine: EngineConfig,
) -> Result<DryRun, Failure> {
    let scratch = Scratch::once(scratch).map_err(|error| unusable_scratch(&error))?;
    let (notify, never) = (|_: Notice| (), Canceller::default());
    let control = Control::new(&notify, &never);
    let stager = Stager { sources, tenant, folder: scratch.path(), cache, control: &control };
    match stage_within(sources.patience.plan, &stager, &job.spec, Want::Plan).await {
        Ok((files, _)) => {
            let memory = Arc::new(MemoryBudget::new(MemoryBudget::DEFAULT));
            let statistics = cache.map(|cache| cache.statistics(tenant));
            let job = job.local(files, Machine { engine, memory, statistics, digests: true });
            let planned = blocking(move || plan(&job)).await;
            planned.unwrap_or_else(|panicked| Err(Failure::new(&panicked, None)))
        }
        Err(error) => Err(Failure::new(&error, None)),
    }
}

fn plan(job: &LocalJob) -> Result<DryRun, Failure> {
    let planned = pipeline::plan(job, Purpose::Look).map_err(|error| failure(&error, None))?;
    let predicted = planned.predict().map_err(|error| failure(&error, None))?;
    Ok(DryRun {
        plan: planned.to_json(),
        warnings: planned.warnings().to_vec(),
        bytes: predicted.weights,
        peak_bytes: predicted.peak,
        shards: planned.shard_bytes().map(|shards| shards.len()),
    })
}
