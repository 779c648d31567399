//! What a checkpoint is asked once it is open: to be quantized as a whole or by its shards.

use std::path::Path;

use super::{
    assemble::assemble, lanes::in_lanes, opened::OpenedCheckpoint, shard_layout::ShardLayout, shard_run::LocalShardRun,
};
use crate::{
    backend::{BackendError, Outcome, Prediction, Prepared, RunInputs, ShardPart, ShardRun, Sharded},
    control::{Control, Notice, Phase},
    model::checkpoint::Shard,
    spec::Resolved,
};

impl Prepared for OpenedCheckpoint {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let count = self.checkpoint.shards.len();
        let shard_run = LocalShardRun::new(self, (0..count).collect(), inputs, out, control)?;
        let parts = in_lanes(count, |at| shard_run.shard(at))?;
        let outcome = assemble(self, &parts, out, control)?;
        Box::new(shard_run).close()?;
        Ok(outcome)
    }

    fn predict(&self, _: &RunInputs) -> Result<Prediction, BackendError> {
        let entries = self.entries();
        let before = self.checkpoint.shards.iter().map(Shard::file_bytes).sum();
        let mut after = 0;
        for at in 0..self.checkpoint.shards.len() {
            after += ShardLayout::new(self, &entries, at)?.bytes();
        }
        Ok(Prediction { weights: Some((before, after)), peak: None })
    }

    fn sharded(&self) -> Option<&dyn Sharded> {
        (self.checkpoint.shards.len() > 1).then_some(self)
    }
}

impl Sharded for OpenedCheckpoint {
    fn shard_bytes(&self) -> Vec<u64> {
        let bytes = |shard: &Shard| shard.tensors.iter().map(|tensor| tensor.bytes() as u64).sum();
        self.checkpoint.shards.iter().map(bytes).collect()
    }

    fn shard_names(&self) -> Vec<&str> {
        self.checkpoint.shards.iter().map(|shard| shard.file_name.as_str()).collect()
    }

    fn shard_run<'a>(
        &'a self,
        shards: Vec<usize>,
        inputs: &'a RunInputs,
        out: &Path,
        control: &'a Control<'_>,
    ) -> Result<Box<dyn ShardRun + 'a>, BackendError> {
        Ok(Box::new(LocalShardRun::new(self, shards, inputs, out, control)?))
    }

    fn join(&self, parts: &[ShardPart], out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        control.notify(Notice::Phase(Phase::Quantizing));
        assemble(self, parts, out, control)
    }
}
