//! Graphs and plans for the tests of rules and placements.

use serde_json::json;

use super::{SiteKind, find, place};
use crate::{
    backend::{graph::inventory::inventory, modelopt::options::FORMATS},
    model::onnx::{Use, testing::GraphBuilder},
    spec::{Decision, Reason, parse, resolve},
};

/// What a placement makes of a graph.
pub(super) struct Placed {
    /// The inputs that get a pair, as `node.input`.
    pub(super) sites: Vec<String>,
    /// The tensors with a pair behind them, in the order of their names: `tensor -> readers`, and whose scale it has.
    pub(super) behind: Vec<String>,
    /// Why nodes of operators that the placement quantizes without weights stay native.
    pub(super) reasons: Vec<(String, Reason)>,
}

/// Places pairs in a graph of which everything is to have this dtype, where it can.
pub(super) fn placed(placement: &str, graph: GraphBuilder, dtype: &str) -> Placed {
    placed_by(placement, graph, dtype, "*")
}

/// The same, asked for by this pattern.
pub(super) fn placed_by(placement: &str, graph: GraphBuilder, dtype: &str, pattern: &str) -> Placed {
    let (graph, placement) = (graph.build(), find(placement).unwrap());
    let inventory = inventory(&graph, &FORMATS, &placement.inputs_only()).unwrap();
    let dtype = json!({"dtype": dtype});
    let section = json!({"backend": "modelopt",
        "layers": [{"module_name": pattern, "weights": dtype, "activations": dtype}]});
    let spec = parse(&section, "").spec;
    let mut resolved = resolve(&spec, &inventory.layers);
    let (sites, _) = place(&spec, placement, &graph, &inventory.candidates, &inventory.nodes, &mut resolved);
    let name = |at| graph.node(at).name.clone().unwrap_or_default();
    let reasons = resolved.plan.layers.iter().filter(|layer| {
        layer.decision == Decision::Native && placement.inputs_only().contains(&layer.op_type.as_str())
    });
    Placed {
        behind: {
            let reader = |one: &Use| format!("{}.{}", name(one.node), one.input);
            let behind = sites.iter().filter(|site| site.kind != SiteKind::Input);
            let mut lines: Vec<String> = behind
                .map(|site| {
                    let readers: Vec<String> = site.uses.iter().map(reader).collect();
                    let scale = site.scale_of().map(|tensor| format!(" as {tensor}")).unwrap_or_default();
                    format!("{} -> {}{scale}", site.tensor, readers.join(" "))
                })
                .collect();
            lines.sort();
            lines
        },
        sites: sites.iter().map(|site| format!("{}.{}", name(site.uses[0].node), site.uses[0].input)).collect(),
        reasons: reasons.map(|layer| (layer.name.clone(), layer.reason)).collect(),
    }
}

/// An attention over so many positions, with a mask that is computed or without one.
pub(super) fn attention(positions: i64, masked: bool) -> GraphBuilder {
    let graph = GraphBuilder::new()
        .input("q", &[1, positions, 8])
        .input("k", &[1, 8, positions])
        .input("v", &[1, positions, 8])
        .input("mask", &[1, positions, positions])
        .value("weights", &[1, positions, positions])
        .node("MatMul", &["q", "k"], &["scores"]);
    let graph = match masked {
        true => graph.node("Add", &["scores", "mask"], &["shown"]),
        false => graph.node("Transpose", &["scores"], &["shown"]),
    };
    graph.node("Softmax", &["shown"], &["weights"]).node("MatMul", &["weights", "v"], &["context"])
}
