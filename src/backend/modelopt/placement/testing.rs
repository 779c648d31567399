//! Graphs and plans for the tests of rules and placements.

use serde_json::json;

use super::{find, place};
use crate::{
    backend::{graph::inventory::inventory, modelopt::options::FORMATS},
    model::onnx::testing::GraphBuilder,
    spec::{Decision, Reason, parse, resolve},
};

/// What a placement makes of a graph.
pub(super) struct Placed {
    /// The inputs that get a pair, as `node.input`.
    pub(super) sites: Vec<String>,
    /// Why nodes of operators that the placement quantizes without weights stay native.
    pub(super) reasons: Vec<(String, Reason)>,
}

/// Places pairs in a graph of which everything is to have this dtype, where it can.
pub(super) fn placed(placement: &str, graph: GraphBuilder, dtype: &str) -> Placed {
    let (graph, placement) = (graph.build(), find(placement).unwrap());
    let inventory = inventory(&graph, &FORMATS, &placement.inputs_only()).unwrap();
    let dtype = json!({"dtype": dtype});
    let section = json!({"backend": "modelopt",
        "layers": [{"module_name": "*", "weights": dtype, "activations": dtype}]});
    let spec = parse(&section, "").spec;
    let mut resolved = resolve(&spec, &inventory.layers);
    let sites = place(&spec, placement, &graph, &inventory.candidates, &inventory.nodes, &mut resolved);
    let name = |at| graph.node(at).name.clone().unwrap_or_default();
    let reasons = resolved.plan.layers.iter().filter(|layer| {
        layer.decision == Decision::Native && placement.inputs_only().contains(&layer.op_type.as_str())
    });
    Placed {
        sites: sites.iter().map(|site| format!("{}.{}", name(site.at.node), site.at.input)).collect(),
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
