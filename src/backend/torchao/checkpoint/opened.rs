//! [`OpenedCheckpoint`]: a checkpoint with the plan for each of its tensors.

use std::{collections::BTreeMap, ops::Range};

use super::{choose::choose, config::ModelConfig, inventory};
use crate::{
    backend::{
        BackendError,
        layouts::{self, Entry, Layout},
        torchao::options::Options,
        weights::WeightScheme,
    },
    fault::{WarningCode, few},
    model::checkpoint::Checkpoint,
    spec::{QuantizeSpec, Resolved, Warning, resolve},
};

/// A checkpoint with its plan. Tensors are numbered through all shards in the order of the files.
pub(in crate::backend::torchao) struct OpenedCheckpoint {
    pub(super) checkpoint: Checkpoint,
    pub(super) resolved: Resolved,
    /// For each tensor how it is quantized, if it is.
    pub(super) weights: Vec<Option<WeightScheme>>,
    /// Tensors that are stored under another name, and which that is.
    pub(super) ties: BTreeMap<usize, usize>,
    pub(super) layout: &'static Layout,
    /// The model's config.json, if there is one.
    pub(super) config: Option<ModelConfig>,
}

impl OpenedCheckpoint {
    /// Resolves the rules against the checkpoint's tensors.
    pub(in crate::backend::torchao) fn new(spec: &QuantizeSpec, checkpoint: Checkpoint) -> Result<Self, BackendError> {
        let config = ModelConfig::read(&checkpoint)?;
        let model_type = config.as_ref().and_then(ModelConfig::model_type);
        let layers = inventory::layers(&checkpoint, model_type);
        let mut resolved = resolve(spec, &layers);
        let options = Options::new(spec);
        let layout = options.layout.unwrap_or_else(|| layouts::default(config.is_some()));
        let ties = inventory::ties(&checkpoint);
        let weights = choose(spec, &options, layout, &checkpoint, &layers, &ties, &mut resolved);
        if options.nbits.is_some() {
            let note = "a checkpoint has no nodes: how it is stored is its `layout`";
            resolved.warnings.push(Warning::at(spec.at("backend_kwargs/form"), WarningCode::FieldIgnored, note));
        }
        Ok(OpenedCheckpoint { checkpoint, resolved, weights, ties, layout, config })
    }

    /// Says which values of a PyTorch file are no tensors and stay behind.
    pub(in crate::backend::torchao) fn warn_of_values(&mut self, names: &[String]) {
        if !names.is_empty() {
            let message = format!("only tensors are carried over; left behind: {}", few(names));
            self.resolved.warnings.push(Warning::new(WarningCode::ValuesNotCarried, message));
        }
    }

    /// Every tensor with its plan.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        let plans = self.resolved.plan.layers.iter().zip(&self.weights);
        let entries = self.checkpoint.tensors().zip(plans);
        entries.map(|((_, tensor), (plan, weight))| Entry { tensor, plan, weight: weight.as_ref() }).collect()
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

    /// Those of a shard's tensors that are not stored under another name.
    pub(super) fn stored<'a, 'b>(
        &self,
        entries: &'b [Entry<'a>],
        range: Range<usize>,
    ) -> impl Iterator<Item = &'b Entry<'a>> {
        range.filter(|at| !self.ties.contains_key(at)).map(move |at| &entries[at])
    }
}
