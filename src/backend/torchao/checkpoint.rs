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

use super::{choose::choose, inventory, options::Options, shard_run::LocalShardRun};
use crate::{
    backend::{
        BackendError, Outcome, Prediction, Prepared, RunInputs, ShardPart, ShardRun, Sharded,
        layouts::{self, Entry, Layout},
        stored::{EncodedWeight, WeightScheme},
    },
    control::{Control, Notice, Phase},
    model::{
        checkpoint::{Checkpoint, Shard},
        safetensors::{OutTensor, is_other_weights},
    },
    quant::ErrorStats,
    report::{LayerReport, WeightReport},
    spec::{QuantizeSpec, Reason, Resolved, Warning, resolve},
};

const CONFIG: &str = "config.json";

/// A checkpoint with its plan.
pub(super) struct OpenedCheckpoint {
    pub(super) checkpoint: Checkpoint,
    pub(super) resolved: Resolved,
    pub(super) chosen: Vec<Option<WeightScheme>>,
    pub(super) ties: BTreeMap<usize, usize>,
    pub(super) layout: &'static dyn Layout,
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
        let layout = options.layout.unwrap_or_else(|| layouts::default(config.is_some()));
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

    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
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

/// The tensors of a shard's new file.
#[derive(Default)]
pub(super) struct ShardLayout {
    /// All, in the order of the file.
    pub(super) tensors: Vec<OutTensor>,
    /// Those that make up each weight.
    pub(super) stored: Vec<EncodedWeight>,
}

impl ShardLayout {
    /// The bytes that each weight takes now.
    fn sizes(&self) -> Vec<u64> {
        self.stored.iter().map(|one| one.tensors().map(OutTensor::bytes).sum()).collect()
    }
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

impl Prepared for OpenedCheckpoint {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let count = self.checkpoint.shards.len();
        let shard_run = LocalShardRun::new(self, (0..count).collect(), inputs, out, control)?;
        let parts = in_lanes(count, |at| shard_run.shard(at))?;
        let outcome = self.assemble(&shard_run.entries, &parts, out, control)?;
        Box::new(shard_run).close()?;
        Ok(outcome)
    }

    fn predict(&self, _: &RunInputs) -> Result<Prediction, BackendError> {
        let entries = self.entries();
        let before = self.checkpoint.shards.iter().map(Shard::file_bytes).sum();
        let mut after = 0;
        for at in 0..self.checkpoint.shards.len() {
            after += self.shard_layout(&entries, self.range(at))?.tensors.iter().map(OutTensor::bytes).sum::<u64>();
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
        self.assemble(&self.entries(), parts, out, control)
    }
}

impl OpenedCheckpoint {
    /// Writes index, configuration and side files, and tells of each layer what its shard measured.
    fn assemble(
        &self,
        entries: &[Entry<'_>],
        parts: &[ShardPart],
        out: &Path,
        control: &Control<'_>,
    ) -> Result<Outcome, BackendError> {
        let mut outcome = Outcome::default();
        let (mut weight_map, mut total_size) = (serde_json::Map::new(), 0);
        for (at, (shard, part)) in self.checkpoint.shards.iter().zip(parts).enumerate() {
            let range = self.range(at);
            let places = self.shard_layout(entries, range.clone())?;
            for tensor in &places.tensors {
                weight_map.insert(tensor.name.clone(), json!(part.name));
                total_size += tensor.bytes();
            }
            let errors = part.errors.iter().map(ErrorStats::from);
            report(&entries[range], errors.zip(places.sizes()).collect(), &mut outcome.layers);
            outcome.bytes_before += shard.file_bytes();
            outcome.bytes_after += part.file_bytes;
            outcome.files.push(part.name.clone());
        }
        if self.checkpoint.shards.len() > 1 {
            weight_map.sort_keys();
            let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
            outcome.files.push(write(out, "model.safetensors.index.json", &index)?);
        }
        self.side_files(entries, out, &mut outcome, control)?;
        Ok(outcome)
    }

    /// The numbers of a shard's tensors among all.
    pub(super) fn range(&self, at: usize) -> Range<usize> {
        let before: usize = self.checkpoint.shards[..at].iter().map(|shard| shard.tensors.len()).sum();
        before..before + self.checkpoint.shards[at].tensors.len()
    }

    /// The name of a shard's new file.
    pub(super) fn new_name(&self, at: usize) -> String {
        let single = self.checkpoint.shards.len() == 1;
        if single { "model.safetensors".to_owned() } else { self.checkpoint.shards[at].file_name.clone() }
    }

    /// Where the tensors of a shard go in its new file.
    pub(super) fn shard_layout(&self, entries: &[Entry<'_>], range: Range<usize>) -> Result<ShardLayout, BackendError> {
        let mut places = ShardLayout::default();
        for entry in self.kept(entries, range) {
            match entry.chosen {
                Some(chosen) => {
                    let one = self.layout.stored(entry.tensor, chosen)?;
                    places.tensors.extend(one.tensors().cloned());
                    places.stored.push(one);
                }
                None => places.tensors.push(OutTensor {
                    name: entry.tensor.name.clone(),
                    dtype: format!("{:?}", entry.tensor.dtype),
                    bits: entry.tensor.dtype.bitsize(),
                    shape: entry.tensor.shape.clone(),
                }),
            }
        }
        Ok(places)
    }

    /// Those of a shard's tensors that are not stored under another name.
    pub(super) fn kept<'a, 'b>(
        &self,
        entries: &'b [Entry<'a>],
        range: Range<usize>,
    ) -> impl Iterator<Item = &'b Entry<'a>> {
        range.filter(|at| !self.ties.contains_key(at)).map(move |at| &entries[at])
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
            if is_other_weights(name) {
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
