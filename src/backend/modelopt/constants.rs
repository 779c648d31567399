//! How each constant is quantized, and copies for those that layers want otherwise.

use std::collections::BTreeMap;

use super::{Candidate, options::Options};
use crate::{
    backend::stored::Chosen,
    model::onnx::{GraphIndex, OnnxError, proto::GraphProto, reads},
    quant::Scheme,
    spec::{Decision, QuantizeSpec, Resolved},
};

/// How each constant is quantized. Layers whose weight cannot be are left native in `resolved`. Where something else reads
/// the constant, or layers want it otherwise, each way gets a copy of its own; the names of the constants copied come
/// second.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    graph: &mut GraphProto,
    candidates: &mut [Option<Candidate>],
    resolved: &mut Resolved,
) -> Result<(BTreeMap<String, Chosen>, Vec<String>), OnnxError> {
    let mut native = Vec::new();
    let mut ways: BTreeMap<String, BTreeMap<Scheme, (Chosen, Vec<usize>)>> = BTreeMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let plan = &resolved.plan.layers[at];
        let (Some(candidate), Some(dtype), Decision::Quantize) = (candidate, plan.weights, plan.decision) else {
            continue;
        };
        match options.weight_scheme(dtype, &candidate.shape, candidate.axis) {
            Ok((scheme, grid)) => {
                let chosen = Chosen { scheme, grid, format: candidate.format };
                let of_constant = ways.entry(candidate.source.clone()).or_default();
                of_constant.entry(scheme).or_insert((chosen, Vec::new())).1.push(at);
            }
            Err(reason) => native.push((at, reason)),
        }
    }
    resolved.leave_native(spec, native);

    let mut index = GraphIndex::new(graph)?;
    let counts = reads(graph, |node| node.op_type.as_deref() != Some("Shape"));
    let (mut chosen, mut copied) = (BTreeMap::new(), Vec::new());
    for (source, ways) in ways {
        let layers: usize = ways.values().map(|(_, layers)| layers.len()).sum();
        let mut kept = counts.get(&source).copied().unwrap_or(0) > layers;
        for (one, layers) in ways.into_values() {
            // The first way keeps the name, unless a reader that wants floats has it.
            if !std::mem::replace(&mut kept, true) {
                chosen.insert(source.clone(), one);
                continue;
            }
            let Some(position) = index.initializer(&source) else { continue };
            let name = index.claim(&source);
            let mut copy = graph.initializer[position].clone();
            copy.name = Some(name.clone());
            graph.initializer.push(copy);
            for at in layers {
                let Some(candidate) = &mut candidates[at] else { continue };
                graph.node[candidate.node].input[candidate.weight_input].clone_from(&name);
                candidate.source.clone_from(&name);
            }
            copied.push(name.clone());
            chosen.insert(name, one);
        }
    }
    Ok((chosen, copied))
}
