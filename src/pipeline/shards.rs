//! One job by its shards: each on whichever machine, and what joins them.

use std::{path::Path, time::Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Finished, LocalJob, PipelineError, PlannedJob, Purpose, finish, listened, manifest, on_threads, plan};
use crate::{
    backend::{ShardPart, Sharded},
    control::Control,
    report::Artifact,
};

/// What a shard leaves for the join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardDone {
    /// For the backend.
    pub part: ShardPart,
    /// The shard's file.
    pub artifact: Artifact,
    /// Size and digest of the file that it was made from, as the manifest lists it.
    pub input: Value,
    /// How long it took.
    pub seconds: f64,
    /// The version that made it.
    pub ptqd_version: String,
}

/// Plans a job again, which must come out as `expected`: as it was when the job was taken apart.
fn same_plan<'a>(job: &'a LocalJob, expected: &Value) -> Result<PlannedJob<'a>, PipelineError> {
    let planned = plan(job, Purpose::Run)?;
    if planned.to_json() != *expected {
        return Err(PipelineError::PlanChanged);
    }
    Ok(planned)
}

fn sharded<'a>(planned: &'a PlannedJob<'_>) -> Result<&'a dyn Sharded, PipelineError> {
    planned.prepared.sharded().ok_or(PipelineError::PlanChanged)
}

/// Does one shard of a job, into the folder `out`.
pub fn run_shard(
    job: &LocalJob,
    expected: &Value,
    at: usize,
    out: &Path,
    control: &Control<'_>,
) -> Result<ShardDone, PipelineError> {
    on_threads(job, || {
        let began = Instant::now();
        let planned = same_plan(job, expected)?;
        let sharded = sharded(&planned)?;
        if at >= sharded.shard_bytes().len() {
            return Err(PipelineError::PlanChanged);
        }
        let part = sharded.run_shard(at, &job.inputs, out, control)?;
        let seconds = began.elapsed().as_secs_f64();
        let artifact = manifest::artifact(out, part.name.clone(), job.digests, control)?;
        let folder = if job.model.is_dir() { Some(job.model.as_path()) } else { job.model.parent() };
        let input = manifest::input(&folder.unwrap_or(Path::new("")).join(&part.source), job.digests, control)?;
        let ptqd_version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(ShardDone { part, artifact, input, seconds, ptqd_version })
    })
}

/// Does what is left of a job when its shards are done, into the folder `out`. The artifacts are those of the whole job.
pub fn join(
    job: &LocalJob,
    expected: &Value,
    shards: Vec<ShardDone>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Finished, PipelineError> {
    on_threads(job, || {
        let written = listened(control, |control| {
            let planned = same_plan(job, expected)?;
            planned.announce(control)?;
            let sharded = sharded(&planned)?;
            let same = shards.iter().all(|done| done.ptqd_version == env!("CARGO_PKG_VERSION"));
            if !same || shards.len() != sharded.shard_bytes().len() {
                return Err(PipelineError::PlanChanged);
            }
            let parts: Vec<ShardPart> = shards.iter().map(|done| done.part.clone()).collect();
            let outcome = sharded.join(&parts, out, control)?;
            Ok((planned, outcome))
        })?;
        finish(job, out, control, written, shards)
    })
}
