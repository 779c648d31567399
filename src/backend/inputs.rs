//! [`RunInputs`]: what a run needs besides the model and the rules.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{control::MemoryBudget, dataset::Preprocess, engine::EngineConfig};

/// Data on the local disk, and how much of it to use.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// The file or folder.
    pub path: PathBuf,
    /// The most samples to use.
    pub max_samples: Option<usize>,
    /// Samples per forward pass.
    pub batch_size: usize,
    /// How images become samples, where the data is images.
    pub preprocess: Option<Preprocess>,
    /// The input of the model that is 0 where a sequence is padded, where the job names one.
    pub mask_input: Option<String>,
}

/// Labelled or unlabelled data to compare the two models on.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Where the samples are and how they are read.
    pub data: DataSource,
    /// The name of the array of labels, if the data is labelled.
    pub labels: Option<String>,
}

/// What a run needs besides the model and the rules.
#[derive(Clone, Debug)]
pub struct RunInputs {
    /// Data that activation ranges come from; `None` where the backend needs none.
    pub calibration: Option<DataSource>,
    /// Data to compare the models on; `None` if they are not compared on data.
    pub evaluation: Option<Evaluation>,
    /// Where the ONNX engine is and how many threads it may use.
    pub engine: EngineConfig,
    /// What buffers may take, beside mapped files.
    pub memory: Arc<MemoryBudget>,
    /// A folder of what calibrations saw, for those that would see the same.
    pub statistics: Option<PathBuf>,
    /// SHA-256 in hex of files of the model and of the data, as far as it was computed while they were staged.
    pub digests: BTreeMap<PathBuf, String>,
}
