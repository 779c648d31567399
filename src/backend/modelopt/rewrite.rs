//! Carrying the plan out: Q/DQ pairs into the graph, weights into low precision.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Opened, ranges};
use crate::{
    backend::{BackendError, RunInputs, onnx::weights, stored::Chosen},
    calibration::Record,
    control::Control,
    model::onnx::QdqWriter,
    report::LayerReport,
    spec::{Decision, Reason},
};

/// What came of the rewrite.
pub(super) struct Rewritten {
    /// The files, each with its size.
    pub(super) files: Vec<(String, u64)>,
    /// What was done to each layer that could be quantized.
    pub(super) layers: Vec<LayerReport>,
}

impl Rewritten {
    /// The size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Writes the model with the plan carried out. A layer without a usable range stays native, with the reason.
pub(super) fn rewrite(
    opened: &Opened,
    record: Option<&Record>,
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Rewritten, BackendError> {
    let plan = &opened.resolved.plan.layers;
    let scales = record.map(|record| opened.scales(record)).unwrap_or_default();
    let mut native: BTreeMap<usize, Reason> = BTreeMap::new();
    for (edge, scale) in opened.edges.iter().zip(&scales) {
        if let Err(reason) = scale {
            let message =
                format!("layer `{}` stays native: {}", plan[edge.layer].name, ranges::explain(*reason, &edge.tensor));
            control.warn(&reason.name(), message);
            native.entry(edge.layer).or_insert(*reason);
        }
    }
    let mut model = opened.model.clone();
    let mut writer = QdqWriter::new(model.graph_mut())?;
    let mut reports: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for (edge, scale) in opened.edges.iter().zip(scales) {
        let Some(chosen) = scale.ok().filter(|_| !native.contains_key(&edge.layer)) else { continue };
        writer.quantize_activation(edge.node, edge.input, chosen.scale, edge.dtype, edge.format);
        reports.entry(edge.layer).or_default().push(chosen.report);
    }
    writer.finish();

    let kept = opened.weights(|layer| !native.contains_key(&layer));
    let mut written = weights::write(&opened.model, model, &kept, inputs, out, control)?;
    let mut layers = Vec::new();
    for (at, plan) in plan.iter().enumerate() {
        if !opened.is_reported(at) {
            continue;
        }
        let mut layer = LayerReport::planned(plan);
        if let Some(&reason) = native.get(&at) {
            (layer.decision, layer.reason) = (Decision::Native, reason);
        }
        layer.activations = reports.remove(&at).unwrap_or_default();
        if layer.decision == Decision::Quantize {
            let source = opened.candidates[at].as_ref().map(|candidate| &candidate.source);
            layer.weights = source.and_then(|source| written.weights.remove(source));
            if plan.weights.is_some() && layer.weights.is_none() {
                layer.reason = Reason::Tied;
            }
        }
        layers.push(layer);
    }
    Ok(Rewritten { files: written.files, layers })
}

impl Opened {
    /// The constants to be quantized for the layers that `kept` says.
    fn weights(&self, kept: impl Fn(usize) -> bool) -> BTreeMap<String, Chosen> {
        let quantized = self.resolved.plan.layers.iter().zip(&self.candidates).enumerate();
        let wanted: BTreeSet<&String> = quantized
            .filter(|(at, (plan, _))| plan.decision == Decision::Quantize && kept(*at))
            .filter_map(|(_, (_, candidate))| Some(&candidate.as_ref()?.source))
            .collect();
        self.chosen.iter().filter(|(name, _)| wanted.contains(name)).map(|(n, c)| (n.clone(), c.clone())).collect()
    }
}
