//! [`Request`]: what is to be computed, and [`Output`]: what came of it. Both cross the border between two processes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::probe::Attempt;
use crate::{
    control::{Canceller, MemoryBudget},
    engine::EngineConfig,
    job::{DryRun, Failure, InputFiles, JobSpec, Machine},
    pipeline::ShardDone,
    report::Artifact,
};

/// What is to be computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// What was asked for.
    pub spec: JobSpec,
    /// Its inputs, on this machine.
    pub files: Files,
    /// What of it.
    pub work: Work,
    /// An empty folder for the results, or one that an interrupted attempt left.
    pub out: PathBuf,
    /// The engine's library.
    pub library: PathBuf,
    /// OpenVINO's, if it is given.
    pub openvino: Option<PathBuf>,
    /// Threads of the computation.
    pub threads: usize,
    /// Bytes that running the model may take, if that is limited.
    pub engine_memory: Option<u64>,
    /// Bytes that buffers may take.
    pub memory: u64,
    /// A folder of what calibrations of the same tenant saw.
    pub statistics: Option<PathBuf>,
}

/// The inputs of a job, as [`InputFiles`] has them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Files {
    /// The model's file or folder.
    pub model: PathBuf,
    /// The calibration data's.
    pub calibration: Option<PathBuf>,
    /// The evaluation data's.
    pub evaluation: Option<PathBuf>,
    origins: BTreeMap<String, String>,
    digests: BTreeMap<PathBuf, String>,
}

/// What of a job is to be computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// All of it.
    Whole {
        /// The least size of a sharded checkpoint, in bytes, that is worth sharing among workers, if there are others.
        apart: Option<u64>,
        /// Whether its shards are brought and taken away one by one.
        streamed: bool,
    },
    /// One shard of a job that was taken apart.
    Shard {
        /// Which one, from 0.
        index: usize,
        /// The plan that the job was taken apart by.
        plan: Value,
    },
    /// What is left when all shards are done.
    Join {
        /// The plan that the job was taken apart by.
        plan: Value,
        /// What each shard's task left, in order.
        shards: Vec<ShardDone>,
    },
    /// Its plan alone: nothing is computed.
    Plan,
    /// The names of the files that the model's file refers to.
    Companions,
    /// Nothing of it: what a child could do that it should not be able to do.
    Probe {
        /// Files that are none of its business.
        files: Vec<PathBuf>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Output {
    /// The files of a whole job.
    Whole(Done),
    /// The files of a whole job; its shards, which were taken away before, among them.
    Streamed(Done, Vec<ShardDone>),
    /// One shard.
    Shard(Box<ShardDone>),
    /// The job is to be taken apart into shards of so many bytes.
    Apart(Vec<u64>),
    /// What the job would do, layer by layer.
    Plan(Box<DryRun>),
    /// The names of files.
    Companions(Vec<String>),
    /// What was tried, and what came of it.
    Probe(Vec<Attempt>),
}

/// A job whose files are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// The files of the result, the manifest last.
    pub artifacts: Vec<Artifact>,
    /// The summary of the report.
    pub summary: Value,
    /// What the quality gate said.
    pub quality_gate: Value,
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputeError {
    /// What the job fails with.
    pub failure: Failure,
    /// The memory that it would need in bytes, if that is why.
    pub needs_bytes: Option<u64>,
}

impl From<Failure> for ComputeError {
    fn from(failure: Failure) -> Self {
        ComputeError { failure, needs_bytes: None }
    }
}

impl From<InputFiles> for Files {
    fn from(files: InputFiles) -> Self {
        let InputFiles { model, calibration, evaluation, origins, digests } = files;
        let origins = origins.into_iter().map(|(role, uri)| (role.to_owned(), uri)).collect();
        Files { model, calibration, evaluation, origins, digests }
    }
}

impl Files {
    fn into_inputs(self) -> InputFiles {
        let Files { model, calibration, evaluation, origins, digests } = self;
        let roles = ["model", "calibration", "evaluation"];
        let origins = roles.into_iter().filter_map(|role| Some((role, origins.get(role)?.clone()))).collect();
        InputFiles { model, calibration, evaluation, origins, digests }
    }
}

impl Request {
    /// The request's job, its inputs, and what it runs with.
    pub(super) fn parts(&self, canceller: &Canceller) -> (JobSpec, InputFiles, Machine) {
        let engine = EngineConfig {
            library: self.library.clone(),
            openvino: self.openvino.clone(),
            threads: self.threads,
            memory: self.engine_memory,
            canceller: canceller.clone(),
        };
        let memory = Arc::new(MemoryBudget::new(self.memory));
        let machine = Machine { engine, memory, statistics: self.statistics.clone(), digests: true };
        (self.spec.clone(), self.files.clone().into_inputs(), machine)
    }
}
