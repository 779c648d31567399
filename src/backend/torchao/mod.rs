//! Backend `torchao`: weight-only PTQ of safetensors checkpoints, with torchao's numerics.
//!
//! Streams: shard by shard, tensor by tensor, block of rows by block of rows, so memory does not grow with the model.

mod inventory;
mod stream;

use std::{fs, path::Path};

use serde_json::json;

use super::{Backend, BackendError, Capabilities, Outcome, Prepared, RunInputs};
use crate::{
    control::{Control, Phase},
    model::safetensors::Checkpoint,
    numeric::DType,
    report::LayerReport,
    spec::{Decision, Mode, QuantizeSpec, Resolved, resolve},
};

/// Weight-only PTQ.
#[derive(Debug)]
pub(super) struct TorchAo;

static CAPABILITIES: Capabilities = Capabilities {
    name: "torchao",
    aliases: &[],
    summary: "weight-only PTQ of safetensors checkpoints: one scale per output row, no data needed",
    mode: Mode::WeightOnlyPtq,
    formats: &["safetensors"],
    weight_dtypes: &DType::ALL,
    activation_dtypes: &[],
    options: &[],
};

impl Backend for TorchAo {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
        let checkpoint = Checkpoint::open(model)?;
        let layers = inventory::layers(&checkpoint);
        let resolved = resolve(spec, &layers);
        Ok(Box::new(Opened { checkpoint, resolved }))
    }
}

struct Opened {
    checkpoint: Checkpoint,
    resolved: Resolved,
}

impl Prepared for Opened {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, _: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let mut outcome = Outcome::default();
        let layers = &self.resolved.plan.layers;
        let total: u64 = self.checkpoint.tensors().map(|(_, tensor)| tensor.bytes() as u64).sum();
        let mut meter = control.phase(Phase::Quantizing, total, "bytes");
        let mut index = serde_json::Map::new();
        let mut next = 0;
        let single = self.checkpoint.shards.len() == 1;
        for shard in &self.checkpoint.shards {
            let plans = &layers[next..next + shard.tensors.len()];
            next += shard.tensors.len();
            let name = if single { "model.safetensors".to_owned() } else { shard.file_name.clone() };
            let written = stream::quantize_shard(shard, plans, &out.join(&name), &mut meter)?;
            for tensor in written.tensors {
                index.insert(tensor, json!(name));
            }
            for (plan, weights) in plans.iter().zip(written.weights) {
                let relevant = weights.is_some() || inventory::holds_weight(&plan.op_type);
                if relevant {
                    outcome.layers.push(LayerReport { weights, ..LayerReport::planned(plan) });
                }
            }
            outcome.bytes_before += shard.file_bytes();
            outcome.bytes_after += written.file_bytes;
            outcome.files.push(name);
        }
        if !single {
            let name = "model.safetensors.index.json";
            index.sort_keys();
            let text = json!({"metadata": {"total_size": outcome.bytes_after}, "weight_map": index});
            write(out, name, format!("{text:#}\n").as_bytes())?;
            outcome.files.push(name.to_owned());
        }
        self.copy_side_files(out, &mut outcome, control)?;
        Ok(outcome)
    }
}

impl Opened {
    fn copy_side_files(&self, out: &Path, outcome: &mut Outcome, control: &Control<'_>) -> Result<(), BackendError> {
        for name in &self.checkpoint.side_files {
            let path = out.join(name);
            fs::copy(self.checkpoint.folder.join(name), &path)
                .map_err(|source| BackendError::Write { path, source })?;
            outcome.files.push(name.clone());
        }
        let quantized = self.resolved.plan.layers.iter().any(|layer| layer.decision == Decision::Quantize);
        if quantized && self.checkpoint.side_files.iter().any(|name| name == "config.json") {
            control.warn(
                "layout_plain",
                "codes and scales are stored as `weight` and `weight_scale`; config.json is unchanged and does not \
                 describe them, so transformers and vLLM will not load this folder as it is",
            );
        }
        Ok(())
    }
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
    let path = out.join(name);
    fs::write(&path, bytes).map_err(|source| BackendError::Write { path, source })
}
