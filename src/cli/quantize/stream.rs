//! Runs the pipeline on a checkpoint whose shards are elsewhere: each comes as it is wanted, and its result stays here.

use std::{io, path::Path};

use crate::{
    control::{Canceller, Control},
    pipeline::{self, Finished, LocalJob, PipelineError, ShardDone, ShardPipeline},
    storage::{IncomingShards, RemoteShards},
};

struct Shards(IncomingShards);

impl ShardPipeline for Shards {
    fn bring(&self, source: &str) -> Result<Option<String>, PipelineError> {
        self.0.wait_for(source).map(Some).map_err(PipelineError::moved)
    }

    fn take(&self, done: &ShardDone) -> Result<(), PipelineError> {
        self.0.release(&done.part.source).map_err(PipelineError::moved)
    }
}

/// Runs a job into the folder `out` while its shards come. The disk never holds more than two of them.
pub(super) fn run_streamed(
    job: &LocalJob,
    shards: RemoteShards,
    out: &Path,
    control: &Control<'_>,
    canceller: &Canceller,
) -> Result<Finished, PipelineError> {
    let unwritable = |source: io::Error| PipelineError::Write { path: out.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(unwritable)?;
    let shards = Shards(IncomingShards::start(runtime.handle(), shards, canceller.clone()));
    let (finished, _) = pipeline::run_streamed(job, out, control, &shards)?;
    Ok(finished)
}
