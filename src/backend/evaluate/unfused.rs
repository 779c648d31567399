//! Layers that a runtime does not fuse: their weights are dequantized at every run, and the layer computes in floats.

use std::{collections::BTreeSet, fs};

use super::models::Compared;

use crate::{
    engine::{EngineConfig, Session},
    model::onnx::Model,
};

/// The largest result that is looked at, in bytes: the engine writes it once more.
const LARGEST: u64 = 256 << 20;

/// The layers of a result that onnxruntime's default session computes in floats although their inputs and weights are in
/// codes. None of a result that is very large or that the engine does not load: others tell of that.
pub(super) fn unfused(models: &Compared<'_>, config: &EngineConfig) -> Vec<String> {
    let small = fs::metadata(models.quantized).is_ok_and(|meta| meta.len() <= LARGEST);
    let optimized = models.out.join(".ptqd-optimized.onnx");
    let written = small && Session::write_optimized(models.quantized, &optimized, config).is_ok();
    let found =
        if written { Model::read(&optimized).map(|model| in_floats(&model)).unwrap_or_default() } else { Vec::new() };
    // What cannot be removed goes with the job's folder.
    let _ = fs::remove_file(&optimized);
    let layers = models.layers.iter().map(|layer| layer.name.as_str()).collect();
    found.iter().map(|node| layer_of(node, &layers).to_owned()).collect()
}

/// The layer that a node of the optimized graph was, or the node's own name: optimizers append to names.
fn layer_of<'n>(node: &'n str, layers: &BTreeSet<&str>) -> &'n str {
    let shorter = node.rmatch_indices(['/', '_', ':']).map(|(end, _)| node.get(..end).unwrap_or(node));
    std::iter::once(node).chain(shorter).find(|name| layers.contains(name)).unwrap_or(node)
}

/// The nodes whose first two inputs are both dequantized, the second from a constant.
fn in_floats(model: &Model) -> Vec<String> {
    let graph = model.graph();
    let codes = |tensor| {
        let node = graph.producer(tensor).filter(|&node| graph.op(node) == Some("DequantizeLinear"))?;
        graph.input(node, 0)
    };
    let layers = graph.nodes().filter(|&node| {
        let weight = graph.input(node, 1).and_then(codes).is_some_and(|codes| graph.is_constant(codes));
        weight && graph.input(node, 0).and_then(codes).is_some_and(|codes| !graph.is_constant(codes))
    });
    layers.map(|node| crate::model::onnx::node_name(graph.node(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn what_an_optimizer_appends_to_a_name_is_not_the_layers() {
        let layers = ["lin", "lin/deep", "conv_1"].into();
        let of = |node| layer_of(node, &layers);
        assert_eq!(["lin/MatMulAddFusion", "lin/deep", "conv_1_nchwc"].map(of), ["lin", "lin/deep", "conv_1"]);
        assert_eq!(of("other/MatMul"), "other/MatMul");
    }

    #[test]
    fn a_layer_between_dequantized_tensors_computes_in_floats() {
        let model = GraphBuilder::new()
            .input("x", &[1, 2])
            .weight("w", &[2, 2])
            .floats("s", &[], &[1.0])
            .node("DequantizeLinear", &["w", "s"], &["dw"])
            .node("QuantizeLinear", &["x", "s"], &["q"])
            .node("DequantizeLinear", &["q", "s"], &["dx"])
            .node("MatMul", &["dx", "dw"], &["both"])
            .node("MatMul", &["x", "dw"], &["weight_alone"])
            .node("Add", &["dx", "x"], &["sum"])
            .output("both", &[1, 2])
            .model(17);
        assert_eq!(in_floats(&model), ["both"]);
    }
}
