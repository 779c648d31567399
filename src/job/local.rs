//! From an admitted job whose inputs are here to what the pipeline runs: the one place that does it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{AdmittedJob, DataRef};
use crate::{
    backend::{DataSource, Evaluation, RunInputs},
    control::MemoryBudget,
    engine::EngineConfig,
    pipeline::LocalJob,
};

/// Samples per forward pass where neither the job nor the model says.
pub const DEFAULT_BATCH: u32 = 8;

/// The inputs of a job, on this machine.
#[derive(Clone, Debug, Default)]
pub struct InputFiles {
    /// The model's file or folder.
    pub model: PathBuf,
    /// The calibration data's file or folder.
    pub calibration: Option<PathBuf>,
    /// The evaluation data's file or folder.
    pub evaluation: Option<PathBuf>,
    /// Where they were brought from, by role; nothing of those that were here.
    pub origins: BTreeMap<&'static str, String>,
    /// The SHA-256 of each file that was seen on its way here.
    pub digests: BTreeMap<PathBuf, String>,
}

/// What a job runs with.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where the ONNX engine is and how many threads it may use.
    pub engine: EngineConfig,
    /// What buffers may take.
    pub memory: Arc<MemoryBudget>,
    /// A folder of what calibrations saw, for those that would see the same.
    pub statistics: Option<PathBuf>,
    /// Whether the SHA-256 of every file is wanted.
    pub digests: bool,
}

impl AdmittedJob {
    /// The job with its inputs and what it runs with.
    pub fn local(self, files: InputFiles, machine: Machine) -> LocalJob {
        let most = self.rules.num_calibration_samples;
        let calibration = self.spec.calibration.zip(files.calibration);
        let calibration = calibration.map(|(data, path)| DataSource {
            max_samples: data.max_samples.or(most).map(|n| n as usize),
            ..source(&data, path)
        });
        let evaluation = self.spec.evaluation.zip(files.evaluation);
        let evaluation =
            evaluation.map(|(data, path)| Evaluation { labels: data.labels.clone(), data: source(&data, path) });
        LocalJob {
            spec: self.rules,
            warnings: self.warnings,
            model: files.model,
            inputs: RunInputs {
                calibration,
                evaluation,
                engine: machine.engine,
                memory: machine.memory,
                statistics: machine.statistics,
                digests: files.digests,
            },
            quality_gate: self.spec.quality_gate,
            digests: machine.digests,
            origins: files.origins,
        }
    }
}

fn source(data: &DataRef, path: PathBuf) -> DataSource {
    DataSource {
        path,
        max_samples: data.max_samples.map(|n| n as usize),
        batch_size: data.batch_size.unwrap_or(DEFAULT_BATCH) as usize,
        preprocess: data.preprocess.clone(),
        mask_input: data.mask_input.clone(),
    }
}
