//! The PTQ backends.
//!
//! A backend opens a model, plans, and writes the quantized model with what it measured. [`BACKENDS`] is the only list
//! of them: the API's catalogue and the validator read it. Knows local paths only, nothing of jobs or queues.

mod check;
mod error;
mod evaluate;
mod graph;
mod layouts;
mod modelopt;
mod stored;
mod stream;
mod torchao;

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    calibration::CALIBRATORS,
    control::{Control, MemoryBudget},
    dataset::Preprocess,
    engine::EngineConfig,
    numeric::DType,
    quant::ErrorBits,
    report::{Comparison, LayerReport, Sensitivity},
    spec::{Mode, Objection, QuantizeSpec, Resolved},
};

pub use check::{check, effective};
pub use error::BackendError;
pub use torchao::JOURNAL;

/// What a backend can do, for the catalogue and the validator.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// The name that users type.
    pub name: &'static str,
    /// TAO Quant's other spellings of it.
    pub aliases: &'static [&'static str],
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// The one mode it has.
    pub mode: Mode,
    /// Names of the model formats it takes.
    pub formats: &'static [&'static str],
    /// The dtypes it gives to weights.
    pub weight_dtypes: &'static [DType],
    /// The dtypes it gives to activations; none if it has no calibration.
    pub activation_dtypes: &'static [DType],
    /// Keys of `backend_kwargs`.
    pub options: &'static [BackendOption],
}

/// An option of a backend.
#[derive(Debug, Serialize)]
pub struct BackendOption {
    /// Its key in `backend_kwargs`.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it may be.
    pub kind: OptionKind,
    /// What it is where it is not given.
    pub default: &'static str,
}

/// What an option may be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// True or false.
    Switch,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    Number(&'static [u64]),
    /// A number from the first to the second.
    Between(f64, f64),
    /// A whole number from the first to the second.
    Whole(u64, u64),
}

impl OptionKind {
    /// Whether the value is one of those allowed.
    fn allows(self, value: &serde_json::Value) -> bool {
        match self {
            OptionKind::Switch => value.is_boolean(),
            OptionKind::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            OptionKind::Between(least, most) => value.as_f64().is_some_and(|x| (least..=most).contains(&x)),
            OptionKind::Whole(least, most) => value.as_u64().is_some_and(|x| (least..=most).contains(&x)),
            OptionKind::Number(numbers) => value.as_u64().is_some_and(|number| numbers.contains(&number)),
        }
    }

    /// The values allowed, as text.
    fn allowed(self) -> Vec<String> {
        match self {
            OptionKind::Switch => ["true", "false"].map(str::to_owned).into(),
            OptionKind::OneOf(texts) => texts.iter().map(|&text| text.to_owned()).collect(),
            OptionKind::Between(least, most) => vec![format!("{least} to {most}")],
            OptionKind::Whole(least, most) => vec![format!("{least} to {most}")],
            OptionKind::Number(numbers) => numbers.iter().map(u64::to_string).collect(),
        }
    }
}

impl Capabilities {
    /// Whether it needs calibration data.
    pub fn calibrates(&self) -> bool {
        !self.activation_dtypes.is_empty()
    }

    /// The calibration algorithms it knows, the default first.
    pub fn algorithms(&self) -> Vec<&'static str> {
        CALIBRATORS.iter().filter(|_| self.calibrates()).map(|row| row.name).collect()
    }
}

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
}

/// Labelled or unlabelled data to compare the two models on.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The data.
    pub data: DataSource,
    /// The name of the array of labels, if the data is labelled.
    pub labels: Option<String>,
}

/// What a run needs besides the model and the rules.
#[derive(Clone, Debug)]
pub struct RunInputs {
    /// Calibration data.
    pub calibration: Option<DataSource>,
    /// Evaluation data.
    pub evaluation: Option<Evaluation>,
    /// Where the ONNX engine is and how many threads it may use.
    pub engine: EngineConfig,
    /// What buffers may take, beside mapped files.
    pub memory: Arc<MemoryBudget>,
    /// A folder of what calibrations saw, for those that would see the same.
    pub statistics: Option<PathBuf>,
}

/// What a run made and measured.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Names of the files written, relative to the output folder.
    pub files: Vec<String>,
    /// Size of the input's files that hold weights.
    pub bytes_before: u64,
    /// The same of the output.
    pub bytes_after: u64,
    /// What was done to each layer that holds weights or could be quantized.
    pub layers: Vec<LayerReport>,
    /// The two models compared.
    pub comparison: Option<Comparison>,
    /// Whether the comparison is with the result as we compute it, instead of the file as the engine runs it.
    pub simulated: bool,
    /// What single layers cost.
    pub sensitivity: Option<Sensitivity>,
    /// What running the model was predicted to take, in bytes.
    pub predicted_peak_bytes: Option<u64>,
    /// Whether ranges come from random numbers.
    pub calibration_random: bool,
    /// Samples that calibration saw.
    pub samples_calibrated: Option<u64>,
    /// Observed ranges, for `calibration.json`.
    pub calibration: Option<serde_json::Value>,
    /// What was changed in the model ahead of planning.
    pub preparation: Option<serde_json::Value>,
    /// The engine's version, if it was used.
    pub engine_version: Option<String>,
}

/// What a run is expected to leave and to take, as far as it can be told. Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prediction {
    /// The size of the weights, now and then.
    pub weights: Option<(u64, u64)>,
    /// The memory that running the model takes.
    pub peak: Option<u64>,
}

/// A PTQ backend.
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

    /// Reads the model's header or graph and resolves the rules against it. `spec` passed [`check()`].
    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError>;
}

/// A model opened by a backend, with its plan.
pub trait Prepared: Send {
    /// What will happen to each layer, and what is to be said about it.
    fn resolved(&self) -> &Resolved;

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
    /// Writes one shard.
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

/// Every backend, sorted by name.
pub static BACKENDS: [&dyn Backend; 2] = [&modelopt::ModelOpt, &torchao::TorchAo];

/// The backend of this name or alias.
pub fn find(name: &str) -> Option<&'static dyn Backend> {
    BACKENDS.into_iter().find(|backend| {
        let capabilities = backend.capabilities();
        capabilities.name == name || capabilities.aliases.contains(&name)
    })
}
