//! Carrying the plan out: Q/DQ pairs into the graph, weights into low precision.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    bias::{self, BIAS, Biases, Coded, Place},
    constants, linear,
    opened::Opened,
    placement::{QdqSite, SiteKind},
    ranges,
};
use crate::{
    backend::{
        BackendError, RunInputs,
        graph::weights,
        sensitivity::{QuantizedInput, QuantizedInputKind},
        weights::WeightScheme,
    },
    calibration::Record,
    control::Control,
    fault::few,
    model::onnx::{Graph, Model, NodeId, QdqWriter, Use, node_name},
    numeric::FloatFormat,
    report::LayerReport,
    spec::{Decision, LayerPlan, Reason},
};

/// What came of the rewrite.
pub(super) struct Rewritten {
    /// The files, each with its size.
    pub(super) files: Vec<(String, u64)>,
    /// What was done to each layer that could be quantized, with its position in the plan.
    pub(super) layers: Vec<(usize, LayerReport)>,
    /// Constants that have a copy for each way of quantizing them.
    pub(super) copied: Vec<String>,
    /// What the graph computes otherwise now.
    pub(super) steps: Vec<QuantizedInput>,
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
    let mut unusable: BTreeMap<Reason, Vec<&QdqSite>> = BTreeMap::new();
    for (site, scale) in opened.sites.iter().zip(&scales) {
        if let Err(reason) = scale {
            unusable.entry(*reason).or_default().push(site);
            for layer in opened.layers_reading(site) {
                native.entry(layer).or_insert(*reason);
            }
        }
    }
    for (reason, sites) in unusable {
        warn_of_native(plan, reason, &sites, control);
    }
    let choose = |native: &BTreeMap<usize, Reason>| {
        let (mut source, mut candidates) = (opened.model.clone(), opened.candidates.clone());
        let kept = |layer: usize| !native.contains_key(&layer);
        let chosen = constants::choose(&opened.options, plan, kept, source.graph_mut(), &mut candidates);
        (source, candidates, chosen)
    };
    let (mut source, mut candidates, mut chosen) = choose(&native);
    let behind = opened.sites.iter().zip(&scales).filter(|(site, _)| site.kind != SiteKind::Input);
    let in_codes: Vec<_> = behind
        .filter_map(|(site, scale)| Some((site, scale.as_ref().ok()?.params.scale)))
        .flat_map(|(site, scale)| site.uses.iter().filter(|one| one.input == 0).map(move |one| (one.node, scale)))
        .collect();
    let flattens = opened.options.placement.flattens;
    let Biases { coded: biases, given } =
        bias::coded(source.graph(), &candidates, &chosen.schemes, &in_codes, flattens)?;
    // A bias that an Add adds stays there.
    let too_large = |coded: &Coded| coded.codes.is_none() && coded.place == Place::Input;
    let beyond = in_codes.iter().filter(|(node, _)| biases.get(node).is_some_and(too_large));
    let beyond: BTreeMap<NodeId, usize> =
        beyond.filter_map(|(node, _)| Some((*node, opened.layer_of(*node)?))).collect();
    if !beyond.is_empty() {
        let names: Vec<String> = beyond.values().map(|&layer| format!("`{}`", plan[layer].name)).collect();
        let message = format!("{} stay native: a bias has no code at the scale that its weights can have", few(&names));
        control.warn(Reason::BiasTooLarge, message);
        native.extend(beyond.values().map(|&layer| (layer, Reason::BiasTooLarge)));
        (source, candidates, chosen) = choose(&native);
    }
    let kept = |layer: usize| !native.contains_key(&layer);
    let mut model = source.clone();
    let mut writer = QdqWriter::new(model.graph_mut());
    let mut reports: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut coded = Vec::new();
    for (site, scale) in opened.sites.iter().zip(scales) {
        let behind = site.kind != SiteKind::Input;
        // A tensor in codes has other readers, whose layers are not native.
        let Some(found) = scale.ok().filter(|_| behind || kept(site.layer)) else { continue };
        // Between two pairs, onnxruntime would quantize the layer itself, and its bias beyond 32 bits: it reads floats.
        let uses: Vec<Use> = site.uses.iter().filter(|one| !beyond.contains_key(&one.node)).copied().collect();
        if uses.is_empty() {
            continue;
        }
        let params = found.params;
        if behind {
            writer.quantize_behind(&site.tensor, &uses, params, site.format);
            coded.push(site);
        } else {
            uses.iter().for_each(|&at| writer.quantize_activation(at, params.scale, site.dtype, site.format));
        }
        let reports = reports.entry(site.layer).or_default();
        for (number, &at) in uses.iter().enumerate() {
            let report = (number == 0).then_some((site.layer, reports.len()));
            let kind = QuantizedInputKind::Activation { params, scheme: site.scheme(), report };
            let layer = opened.layer_of(at.node).unwrap_or(site.layer);
            steps.push(QuantizedInput { layer, at, format: site.format, kind });
        }
        reports.push(found.report);
    }
    let reads_codes: BTreeSet<NodeId> = coded.iter().flat_map(|site| &site.uses).map(|one| one.node).collect();
    for operand in opened.operands.iter().filter(|operand| reads_codes.contains(&operand.at.node)) {
        writer.quantize_constant(operand.at, operand.params);
        let kind = QuantizedInputKind::Weight(operand.scheme());
        let step = QuantizedInput { layer: operand.layer, at: operand.at, format: FloatFormat::F32, kind };
        steps.extend(operand.is_tensor().then_some(step));
    }
    for (node, _) in &in_codes {
        if let Some(Coded { place: Place::Input, codes: Some(codes), scales }) = biases.get(node) {
            let name = node_name(source.graph().node(*node));
            writer.quantize_bias(Use { node: *node, input: BIAS }, &name, codes, scales);
        }
    }
    if flattens {
        linear::flatten(model.graph_mut(), &coded, &biases);
    }

    // Biases that are in codes now.
    drop_unread(model.graph_mut(), &source);
    let wanted = weights::Wanted { schemes: &chosen.schemes, forms: &chosen.forms, given: &given };
    let mut written = weights::write(&source, model, wanted, inputs, out, control)?;
    let mut layers = Vec::new();
    for (at, plan) in plan.iter().enumerate() {
        if !opened.is_reported(at) {
            continue;
        }
        let mut layer = LayerReport::planned(plan);
        if let Some(&reason) = native.get(&at) {
            (layer.decision, layer.reason, layer.dynamic_activations) = (Decision::Native, reason, None);
        }
        layer.activations = reports.remove(&at).unwrap_or_default();
        if let Some(candidate) = candidates[at].as_ref().filter(|_| layer.decision == Decision::Quantize) {
            layer.weights = written.weights.remove(&candidate.source);
            if plan.weights.is_some() && layer.weights.is_none() {
                layer.reason = Reason::Tied;
            }
            let weight = chosen.schemes.get(&candidate.source);
            let step = |input: usize, kind: fn(WeightScheme) -> QuantizedInputKind| {
                let at_input = Use { node: candidate.node, input };
                weight.map(|scheme| QuantizedInput {
                    layer: at,
                    at: at_input,
                    format: scheme.format,
                    kind: kind(*scheme),
                })
            };
            steps.extend(step(candidate.weight_input, QuantizedInputKind::Weight));
            if plan.dynamic {
                steps.extend(step(0, |_| QuantizedInputKind::Dynamic));
            }
        }
        layers.push((at, layer));
    }
    Ok(Rewritten { files: written.files, layers, copied: chosen.copied, steps })
}

/// Tells which layers stay native for a reason: the first, and which others.
fn warn_of_native(plan: &[LayerPlan], reason: Reason, sites: &[&QdqSite], control: &Control<'_>) {
    let name = |site: &&QdqSite| format!("`{}`", plan[site.layer].name);
    let Some((first, others)) = sites.split_first() else { return };
    let mut others: Vec<String> = others.iter().filter(|site| site.layer != first.layer).map(name).collect();
    others.dedup();
    let others = if others.is_empty() { String::new() } else { format!("; so do {}", few(&others)) };
    let (first, why) = (few(&[name(first)]), ranges::explain(reason, &few(&[&first.tensor])));
    control.warn(reason, format!("layer {first} stays native: {why}{others}"));
}

/// Takes out the constants that something in `source` reads and nothing does any more.
fn drop_unread(graph: &mut Graph, source: &Model) {
    let reads = |graph: &Graph, name: &str| graph.tensor(name).map_or(0, |tensor| graph.reads(tensor));
    let names = source.graph().initializers().filter_map(|tensor| tensor.name.as_deref());
    let unread: BTreeSet<String> =
        names.filter(|name| reads(source.graph(), name) > 0 && reads(graph, name) == 0).map(str::to_owned).collect();
    if !unread.is_empty() {
        let is_unread = |name: &Option<String>| name.as_ref().is_some_and(|name| unread.contains(name));
        graph.take_initializers(|tensor| is_unread(&tensor.name));
        graph.retain_inputs(|input| !is_unread(&input.name));
    }
}
