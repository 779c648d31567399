//! One job by its shards: each on whichever machine, and what joins them.

use std::{path::Path, time::Instant};

use serde_json::Value;

use super::{
    Finished, LocalJob, PipelineError, PlannedJob, Purpose, ShardDone, finish::finish, manifest, planned::plan,
    threads::on_threads, written::listened,
};
use crate::{
    backend::{ShardPart, ShardRun, Sharded},
    control::Control,
};

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

/// What brings the shards of a checkpoint, one after the other, and takes away what becomes of them. Until a shard is
/// brought its file holds its header alone.
pub trait ShardPipeline: Sync {
    /// Waits until a shard's file is whole. Its SHA-256, if that was seen on the way.
    fn bring(&self, source: &str) -> Result<Option<String>, PipelineError>;

    /// Takes the file that was made of it. Neither is read again.
    fn take(&self, done: &ShardDone) -> Result<(), PipelineError>;
}

/// Runs a job whose shards come and go on a remote. What is left in the folder `out` is all but the shards; the artifacts are
/// those of the whole job.
pub fn run_streamed(
    job: &LocalJob,
    out: &Path,
    control: &Control<'_>,
    remote: &dyn ShardPipeline,
) -> Result<(Finished, Vec<ShardDone>), PipelineError> {
    on_threads(job, || {
        let mut shards = Vec::new();
        let written = listened(control, |control| {
            let planned = plan(job, Purpose::Run)?;
            planned.announce(control)?;
            let sharded = sharded(&planned)?;
            let names = sharded.shard_names();
            let shard_run = sharded.shard_run((0..names.len()).collect(), &job.inputs, out, control)?;
            for (at, name) in names.into_iter().enumerate() {
                let sha256 = remote.bring(name)?;
                let done = one_shard(job, &*shard_run, at, sha256, out, control)?;
                remote.take(&done)?;
                shards.push(done);
            }
            shard_run.close()?;
            let parts: Vec<ShardPart> = shards.iter().map(|done: &ShardDone| done.part.clone()).collect();
            let outcome = sharded.join(&parts, out, control)?;
            Ok((planned, outcome))
        })?;
        Ok((finish(job, out, control, written, &shards)?, shards))
    })
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
        let planned = same_plan(job, expected)?;
        let sharded = sharded(&planned)?;
        if at >= sharded.shard_bytes().len() {
            return Err(PipelineError::PlanChanged);
        }
        let shard_run = sharded.shard_run(vec![at], &job.inputs, out, control)?;
        let done = one_shard(job, &*shard_run, at, None, out, control)?;
        shard_run.close()?;
        Ok(done)
    })
}

/// `sha256` is that of the shard's file, if it is known.
fn one_shard(
    job: &LocalJob,
    shard_run: &dyn ShardRun,
    at: usize,
    sha256: Option<String>,
    out: &Path,
    control: &Control<'_>,
) -> Result<ShardDone, PipelineError> {
    let began = Instant::now();
    let part = shard_run.shard(at)?;
    let seconds = began.elapsed().as_secs_f64();
    let artifact = manifest::artifact(out, part.name.clone(), job.digests, control)?;
    let folder = if job.model.is_dir() { Some(job.model.as_path()) } else { job.model.parent() };
    let source = folder.unwrap_or(Path::new("")).join(&part.source);
    let input = manifest::input(job, &source, sha256, control)?;
    let ptqd_version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(ShardDone { part, artifact, input, seconds, ptqd_version })
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
        finish(job, out, control, written, &shards)
    })
}
