//! [`dry_run`]: what a job would do, as far as it shows in the model's header or graph alone.

use std::path::Path;

use super::{
    scratch::{Scratch, unusable_scratch},
    stage::stage_within,
};
use crate::{
    compute::{Compute, Output, Request, Work},
    control::{Canceller, Control, MemoryBudget, Notice},
    engine::EngineConfig,
    fault::FaultCode,
    job::{AdmittedJob, DryRun, Failure, Tenant},
    storage::{Cache, Sources, Stager, Want},
};

/// Makes the plan of a tenant's job, in a folder of its own below `scratch`. Takes the time of bringing and reading the
/// model's header or graph; nothing is computed.
pub async fn dry_run(
    compute: &Compute,
    sources: &Sources,
    cache: Option<&Cache>,
    scratch: &Path,
    tenant: &Tenant,
    job: AdmittedJob,
    engine: &EngineConfig,
) -> Result<DryRun, Failure> {
    let scratch = Scratch::once(scratch).map_err(|error| unusable_scratch(&error))?;
    let (notify, never) = (|_: Notice| (), Canceller::default());
    let control = Control::new(&notify, &never);
    let stager = Stager { sources, tenant, folder: scratch.path(), companions: compute, cache, control: &control };
    match stage_within(sources.patience.plan, &stager, &job.spec, Want::Plan).await {
        Ok((files, _)) => {
            let request = Request {
                spec: job.spec,
                files: files.into(),
                work: Work::Plan,
                out: scratch.path().to_owned(),
                library: engine.library.clone(),
                openvino: None,
                threads: engine.threads,
                engine_memory: engine.memory,
                memory: MemoryBudget::DEFAULT,
                statistics: cache.and_then(|cache| cache.statistics(tenant)),
            };
            match compute.look(request).await? {
                Output::Plan(planned) => Ok(*planned),
                _ => Err(Failure::plain(FaultCode::InternalError, "the computation answered another request")),
            }
        }
        Err(error) => Err(Failure::new(&error, None)),
    }
}
