//! Checkpoints: shard by shard into the layout asked for, with index, configuration and side files.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::prelude::*;
use serde_json::{Value, json};

use super::{
    choose::choose,
    inventory,
    layout::{self, Entry, Layout},
    options::Options,
    resume::Journal,
};
use crate::{
    backend::{
        BackendError, Outcome, Prepared, RunInputs,
        stored::{Chosen, Stored},
        stream::{Buffers, Sink, Stream, Unchanged, Weight},
    },
    control::{Control, Phase, PhaseMeter},
    model::{
        checkpoint::{Checkpoint, Shard},
        safetensors::{OutTensor, ShardWriter},
    },
    quant::ErrorStats,
    report::{LayerReport, WeightReport},
    spec::{QuantizeSpec, Reason, Resolved, Warning, resolve},
};

const CONFIG: &str = "config.json";
/// Other forms of the same weights that lie in some models' folders.
const OTHER_WEIGHTS: [&str; 8] = [".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".onnx_data"];

/// A checkpoint with its plan.
pub(super) struct OpenedCheckpoint {
    checkpoint: Checkpoint,
    resolved: Resolved,
    chosen: Vec<Option<Chosen>>,
    ties: BTreeMap<usize, usize>,
    layout: &'static dyn Layout,
    /// The model's config.json, if there is one.
    config: Option<Value>,
}

impl OpenedCheckpoint {
    /// Resolves the rules against the checkpoint's tensors.
    pub(super) fn new(spec: &QuantizeSpec, checkpoint: Checkpoint) -> Result<Self, BackendError> {
        let config = read_config(&checkpoint)?;
        let model_type = config.as_ref().and_then(|config| config["model_type"].as_str());
        let mut resolved = resolve(spec, &inventory::layers(&checkpoint, model_type));
        let options = Options::new(spec);
        let layout = options.layout.unwrap_or_else(|| layout::default(config.is_some()));
        let ties = inventory::ties(&checkpoint);
        let chosen = choose(spec, &options, layout, &checkpoint, &ties, &mut resolved);
        Ok(OpenedCheckpoint { checkpoint, resolved, chosen, ties, layout, config })
    }

    /// Says which values of a PyTorch file are no tensors and stay behind.
    pub(super) fn warn_of_values(&mut self, names: &[String]) {
        const SHOWN: usize = 5;
        if !names.is_empty() {
            let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
            let shown = names[..names.len().min(SHOWN)].join(", ");
            let message = format!("only tensors are carried over; left behind: {shown}{more}");
            self.resolved.warnings.push(Warning::new("values_not_carried", message));
        }
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        let plans = self.resolved.plan.layers.iter().zip(&self.chosen);
        let entries = self.checkpoint.tensors().zip(plans);
        entries.map(|((_, tensor), (plan, chosen))| Entry { tensor, plan, chosen: chosen.as_ref() }).collect()
    }
}

/// The model's config.json. A model that is quantized already is refused: its codes would be taken for weights.
fn read_config(checkpoint: &Checkpoint) -> Result<Option<Value>, BackendError> {
    if !checkpoint.side_files.iter().any(|name| name == CONFIG) {
        return Ok(None);
    }
    let path = checkpoint.folder.join(CONFIG);
    let invalid = |reason: String| BackendError::Config { path: path.clone(), reason };
    let text = fs::read(&path).map_err(|e| invalid(e.to_string()))?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
    if !config.is_object() {
        return Err(invalid("it is not an object".to_owned()));
    }
    if config.get("quantization_config").is_some_and(|value| !value.is_null()) {
        return Err(BackendError::AlreadyQuantized { path });
    }
    Ok(Some(config))
}

impl Sink for ShardWriter {
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
        Ok(ShardWriter::write(self, tensor, offset, bytes)?)
    }
}

/// What all shards share.
#[derive(Clone, Copy)]
struct ShardJob<'a, 'b> {
    entries: &'a [Entry<'a>],
    metadata: &'a BTreeMap<String, String>,
    journal: &'a Journal,
    buffers: &'a Buffers<'b>,
    meter: &'a PhaseMeter<'a>,
}

/// Does `count` things, two at a time, in order: the system lets one thread at a time write to a file, so that two threads
/// need two files to write to. The first error in order is returned; after one, nothing more is begun.
fn in_lanes<T: Send>(
    count: usize,
    one: impl Fn(usize) -> Result<T, BackendError> + Sync,
) -> Result<Vec<T>, BackendError> {
    const LANES: usize = 2;
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, BackendError>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    (0..LANES).into_par_iter().for_each(|_| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = done.get(at) else { return };
            let result = one(at);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    });
    done.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// The new file of one shard.
struct Written {
    tensors: Vec<OutTensor>,
    file_bytes: u64,
    /// What each weight cost, and the bytes that it takes now.
    weights: Vec<(ErrorStats, u64)>,
}

impl Prepared for OpenedCheckpoint {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let entries = self.entries();
        let mut outcome = Outcome::default();
        let total = entries.iter().map(|entry| entry.tensor.bytes() as u64).sum();
        let meter = control.phase(Phase::Quantizing, total, "bytes");
        let plan =
            json!({"layout": self.layout.name(), "plan": self.resolved.plan, "chosen": format!("{:?}", self.chosen)});
        let journal = Journal::open(out, &plan.to_string())?;
        let metadata = self.layout.metadata(&entries);
        let single = self.checkpoint.shards.len() == 1;
        let (mut weight_map, mut total_size) = (serde_json::Map::new(), 0);
        let name = |shard: &Shard| if single { "model.safetensors".to_owned() } else { shard.file_name.clone() };
        let ranges: Vec<Range<usize>> = self
            .checkpoint
            .shards
            .iter()
            .scan(0, |end, shard| {
                *end += shard.tensors.len();
                Some(*end - shard.tensors.len()..*end)
            })
            .collect();
        let buffers = Buffers::new(&inputs.memory);
        let job =
            ShardJob { entries: &entries, metadata: &metadata, journal: &journal, buffers: &buffers, meter: &meter };
        let written = in_lanes(self.checkpoint.shards.len(), |at| {
            let shard = &self.checkpoint.shards[at];
            self.shard(shard, ranges[at].clone(), &out.join(name(shard)), &job)
        })?;
        for ((shard, range), written) in self.checkpoint.shards.iter().zip(&ranges).zip(written) {
            let name = name(shard);
            for tensor in &written.tensors {
                weight_map.insert(tensor.name.clone(), json!(name));
                total_size += tensor.bytes();
            }
            report(&entries[range.clone()], written.weights, &mut outcome.layers);
            outcome.bytes_before += shard.file_bytes();
            outcome.bytes_after += written.file_bytes;
            outcome.files.push(name);
        }
        if !single {
            weight_map.sort_keys();
            let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
            outcome.files.push(write(out, "model.safetensors.index.json", &index)?);
        }
        self.side_files(&entries, out, &mut outcome, control)?;
        journal.close()?;
        Ok(outcome)
    }
}

impl OpenedCheckpoint {
    fn shard(
        &self,
        shard: &Shard,
        range: Range<usize>,
        path: &Path,
        job: &ShardJob<'_, '_>,
    ) -> Result<Written, BackendError> {
        let ShardJob { entries, metadata, journal, buffers, meter } = *job;
        let kept = || range.clone().filter(|at| !self.ties.contains_key(at)).map(|at| &entries[at]);
        let (mut tensors, mut stored): (Vec<OutTensor>, Vec<Stored>) = (Vec::new(), Vec::new());
        for entry in kept() {
            match entry.chosen {
                Some(chosen) => {
                    let one = self.layout.stored(entry.tensor, chosen)?;
                    tensors.extend(one.tensors().cloned());
                    stored.push(one);
                }
                None => tensors.push(OutTensor {
                    name: entry.tensor.name.clone(),
                    dtype: format!("{:?}", entry.tensor.dtype),
                    bits: entry.tensor.dtype.bitsize(),
                    shape: entry.tensor.shape.clone(),
                }),
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = self.checkpoint.folder.join(&shard.file_name);
        let sizes: Vec<u64> = stored.iter().map(|one| one.tensors().map(OutTensor::bytes).sum()).collect();
        let with_sizes = |errors: Vec<ErrorStats>| errors.into_iter().zip(sizes).collect();
        if let Some((file_bytes, errors)) = journal.finished(&name, &source) {
            meter.advance(entries[range].iter().map(|entry| entry.tensor.bytes() as u64).sum())?;
            return Ok(Written { tensors, file_bytes, weights: with_sizes(errors) });
        }
        let mut metadata: BTreeMap<String, String> =
            shard.metadata.clone().into_iter().chain(metadata.clone()).collect();
        // As safetensors' own save_model does: a name that is not stored points to the one that is.
        for at in range.clone() {
            if let Some(&kept) = self.ties.get(&at) {
                metadata.insert(entries[at].tensor.name.clone(), entries[kept].tensor.name.clone());
            }
        }
        let writer = ShardWriter::create(path, tensors.clone(), &metadata)?;
        let mut weights = Vec::new();
        let mut unchanged = Vec::new();
        let mut places = stored.iter();
        for entry in kept() {
            let tensor = entry.tensor;
            let read = Box::new(|bytes| shard.read(tensor, bytes));
            match entry.chosen.and_then(|chosen| Some((chosen, places.next()?))) {
                Some((chosen, stored)) => weights.push(Weight { name: &tensor.name, chosen, stored, read }),
                None => unchanged.push(Unchanged { name: &tensor.name, bytes: tensor.bytes(), read }),
            }
        }
        let errors = Stream::new(&writer, buffers, meter).run(&weights, &unchanged)?;
        let file_bytes = writer.finish()?;
        journal.finish(&name, &source, file_bytes, &errors)?;
        Ok(Written { tensors, file_bytes, weights: with_sizes(errors) })
    }

    fn side_files(
        &self,
        entries: &[Entry<'_>],
        out: &Path,
        outcome: &mut Outcome,
        control: &Control<'_>,
    ) -> Result<(), BackendError> {
        let description = self.layout.config(entries);
        let is_described = description.is_some() && self.config.is_some();
        match (description, self.config.clone()) {
            (Some(description), Some(mut config)) => {
                config["quantization_config"] = description;
                outcome.files.push(write(out, CONFIG, &config)?);
            }
            (Some(_), None) => {
                let message = format!("there is no config.json to describe the layout `{}` in", self.layout.name());
                control.warn("config_missing", message);
            }
            (None, Some(_)) => control.warn(
                "layout_plain",
                "codes and scales are stored as `weight` and `weight_scale`; config.json is unchanged and does not \
                 describe them, so transformers and vLLM will not load this folder as it is",
            ),
            (None, None) => {}
        }
        let mut left_out = Vec::new();
        for name in &self.checkpoint.side_files {
            if name == CONFIG && is_described {
                continue;
            }
            if OTHER_WEIGHTS.iter().any(|suffix| name.ends_with(suffix)) {
                left_out.push(name.as_str());
                continue;
            }
            let path = out.join(name);
            fs::copy(self.checkpoint.folder.join(name), &path)
                .map_err(|source| BackendError::Write { path, source })?;
            outcome.files.push(name.clone());
        }
        if !left_out.is_empty() {
            let message =
                format!("{} hold the unquantized weights in other forms and were not copied", left_out.join(", "));
            control.warn("weights_not_copied", message);
        }
        for (code, note) in self.layout.notes(entries) {
            control.warn(code, note);
        }
        Ok(())
    }
}

/// Adds the layers of a shard that hold a weight, or whose weight is stored under another name.
fn report(entries: &[Entry<'_>], weights: Vec<(ErrorStats, u64)>, layers: &mut Vec<LayerReport>) {
    let mut weights = weights.into_iter();
    for entry in entries {
        let measured = entry.chosen.and_then(|chosen| Some((chosen, weights.next()?)));
        let weights = measured.map(|(chosen, (error, after))| {
            let sizes = (entry.tensor.bytes() as u64, after);
            WeightReport::new(&entry.tensor.name, &chosen.scheme, &error, sizes)
        });
        if weights.is_some() || inventory::holds_weight(&entry.plan.op_type) || entry.plan.reason == Reason::Tied {
            layers.push(LayerReport { weights, ..LayerReport::planned(entry.plan) });
        }
    }
}

fn write(out: &Path, name: &str, json: &Value) -> Result<String, BackendError> {
    let path = out.join(name);
    fs::write(&path, format!("{json:#}\n")).map_err(|source| BackendError::Write { path, source })?;
    Ok(name.to_owned())
}
