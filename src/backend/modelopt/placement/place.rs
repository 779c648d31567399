//! Carrying a placement out over a plan.

use super::{
    integer,
    operand::Operand,
    row::{ExclusionRule, InputRule, Placement, Rules},
    site::QdqSite,
    view::View,
};
use crate::{
    backend::graph::inventory::Candidate,
    model::onnx::{Graph, NodeId},
    spec::{QuantizeSpec, Reason, Resolved},
};

/// Every tensor that gets a Q/DQ pair, in the order of the nodes, and constant operands that are to be in codes too. Layers
/// that the runtime would not gain from are left native in `resolved`.
pub(in crate::backend::modelopt) fn place(
    spec: &QuantizeSpec,
    placement: &Placement,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    nodes: &[Option<NodeId>],
    resolved: &mut Resolved,
) -> (Vec<QdqSite>, Vec<Operand>) {
    if let Some(rule) = placement.excluded {
        let native = excluded(spec, &View::new(graph, candidates, nodes, &resolved.plan.layers), rule);
        resolved.leave_native(spec, native);
    }
    let view = View::new(graph, candidates, nodes, &resolved.plan.layers);
    let (mut sites, native, operands) = match placement.rules {
        Rules::Inputs(rules) => {
            let (sites, native) = before_inputs(&view, rules);
            (sites, native, Vec::new())
        }
        Rules::Codes(kernels) => {
            let placed = integer::place(&view, kernels);
            let native = [integer::alone(&view, kernels, &placed), integer::idle(&view, kernels, &placed)].concat();
            resolved.leave_native(spec, native);
            let placed = integer::place(&View::new(graph, candidates, nodes, &resolved.plan.layers), kernels);
            (placed.sites, placed.native, placed.operands)
        }
    };
    sites.sort_by_key(|site| site.uses.first().map(|first| (graph.position(first.node), first.input)));
    resolved.leave_native(spec, native);
    (sites, operands)
}

/// Pairs before inputs, and the layers without weights that get none.
fn before_inputs(view: &View<'_>, rules: &[(&'static str, InputRule)]) -> (Vec<QdqSite>, Vec<(usize, Reason)>) {
    let (mut sites, mut native) = (Vec::new(), Vec::new());
    for layer in view.quantized_layers() {
        if view.candidate(layer).is_some() {
            sites.extend(view.site(layer, 0));
            continue;
        }
        match inputs(rules, view, layer) {
            Ok(inputs) => sites.extend(inputs.into_iter().filter_map(|input| view.site(layer, input))),
            Err(reason) => native.push((layer, reason)),
        }
    }
    (sites, native)
}

/// Layers that only a bare `*` asks for and that are better left alone. A rule that names one has it quantized all the same.
fn excluded(spec: &QuantizeSpec, view: &View<'_>, rule: ExclusionRule) -> Vec<(usize, Reason)> {
    let mut excluded = Vec::new();
    for layer in view.quantized_layers() {
        let (Some(candidate), Some(dtype)) = (view.candidate(layer), view.activations(layer)) else { continue };
        let pointer = view.plan(layer).and_then(|plan| plan.rule.as_ref());
        let asked = spec.layers.iter().find(|rule| Some(&rule.pointer) == pointer);
        if asked.is_some_and(|asked| asked.module_name.is_catch_all()) {
            excluded.extend(rule(view, candidate, dtype).map(|reason| (layer, reason)));
        }
    }
    excluded
}

/// Which inputs of a layer without weights get a pair.
fn inputs(rules: &[(&'static str, InputRule)], view: &View<'_>, layer: usize) -> Result<Vec<usize>, Reason> {
    let op = view.node(layer).and_then(|node| view.graph.op(node));
    let rule = rules.iter().find(|(name, _)| Some(*name) == op);
    rule.map_or(Err(Reason::OpUnsupported), |(_, rule)| rule(view, layer))
}
