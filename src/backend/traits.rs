//! What a backend is: [`Backend`] opens a model, [`Prepared`] plans and runs, [`Sharded`] does so shard by shard.

use std::{fmt::Debug, path::Path};

use serde::{Deserialize, Serialize};

use super::{BackendError, Capabilities, Outcome, Prediction, RunInputs};
use crate::{
    control::Control,
    quant::ErrorBits,
    spec::{Objection, QuantizeSpec, Resolved},
};

/// A PTQ backend: what it can do, what it refuses, and how it opens a model. One row of `BACKENDS`.
pub trait Backend: Debug + Sync {
    /// What it can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// Whether a section asks for ranges from random numbers, so that there need be no calibration data.
    fn calibrates_on_random(&self, _: &QuantizeSpec) -> bool {
        false
    }

    /// What is wrong with a section that only this backend can tell, such as options that contradict each other.
    fn objections(&self, _: &QuantizeSpec) -> Vec<Objection> {
        Vec::new()
    }

    /// Reads the model's header or graph and resolves the rules against it. `spec` passed [`crate::backend::check()`].
    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError>;
}

/// A model opened by a backend, with its plan.
pub trait Prepared: Send {
    /// What will happen to each layer, and what is to be said about it.
    fn resolved(&self) -> &Resolved;

    /// What is wrong with the data's description that only the model can tell.
    fn objections(&self, _: &RunInputs) -> Vec<Objection> {
        Vec::new()
    }

    /// Writes the quantized model into the folder `out`.
    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError>;

    /// What the run is expected to leave and to take, told without running anything.
    fn predict(&self, _: &RunInputs) -> Result<Prediction, BackendError> {
        Ok(Prediction::default())
    }

    /// The same model by its shards, if they can be quantized apart from each other.
    fn sharded(&self) -> Option<&dyn Sharded> {
        None
    }
}

/// A model whose shards can be quantized apart from each other, by any number of machines.
pub trait Sharded {
    /// The bytes of each shard's tensors.
    fn shard_bytes(&self) -> Vec<u64>;

    /// The names of the shards' files.
    fn shard_names(&self) -> Vec<&str>;

    /// Begins to quantize these shards into the folder `out`.
    fn shard_run<'a>(
        &'a self,
        shards: Vec<usize>,
        inputs: &'a RunInputs,
        out: &Path,
        control: &'a Control<'_>,
    ) -> Result<Box<dyn ShardRun + 'a>, BackendError>;

    /// Writes what else there is into the folder `out`, given what each shard left. The outcome is the one that
    /// [`Prepared::run`] has; the shards themselves are not looked at.
    fn join(&self, parts: &[ShardPart], out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError>;
}

/// Where shards are quantized. Of a shard, nothing but its header is read before its turn, and nothing at all after.
pub trait ShardRun: Sync {
    /// Writes the shard with this number, counted from 0 in the order of [`Sharded::shard_names`].
    fn shard(&self, at: usize) -> Result<ShardPart, BackendError>;

    /// All are done; nothing will be resumed.
    fn close(self: Box<Self>) -> Result<(), BackendError>;
}

/// What a shard leaves for the join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPart {
    /// The name of the shard's file.
    pub name: String,
    /// The name of the file that it was made from.
    pub source: String,
    /// The size of its file.
    pub file_bytes: u64,
    /// What each weight cost.
    pub errors: Vec<ErrorBits>,
}
