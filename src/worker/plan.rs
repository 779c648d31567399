//! [`dry_run`]: what a job would do, told from the model's header or graph alone.

use super::make::stage;
use crate::{
    control::MemoryBudget,
    engine::EngineConfig,
    job::{DryRun, Failure, JobSpec},
    pipeline::{self, PipelineError, Purpose},
    storage::Sources,
};

/// Makes the plan of a job. Takes the time of reading the model's header or graph; nothing is computed.
pub fn dry_run(sources: &Sources, spec: JobSpec, engine: EngineConfig) -> Result<DryRun, Failure> {
    let job = stage(sources, spec, engine, MemoryBudget::DEFAULT).map_err(|e| Failure::new(&e, None))?;
    let failed = |error: PipelineError| match &error {
        PipelineError::Objections(objections) => Failure::new(&error, None).with_errors(objections),
        _ => Failure::new(&error, None),
    };
    let planned = pipeline::plan(&job, Purpose::Look).map_err(failed)?;
    let predicted = planned.predict().map_err(failed)?;
    Ok(DryRun {
        plan: planned.to_json(),
        warnings: planned.warnings().to_vec(),
        bytes: predicted.weights,
        peak_bytes: predicted.peak,
        shards: planned.shard_bytes().map(|shards| shards.len()),
    })
}
