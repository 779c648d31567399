//! The addition at the end of a residual block.
//!
//! TensorRT fuses a convolution with the addition behind it when the other summand arrives in low precision. So the branch
//! that ends in the convolution stays as it is, and the other one gets the pair. Where both branches end in one, the longer
//! is the one that fuses: the shortcut's convolution has been waiting. (NVIDIA ModelOpt places its pairs by the same rule.)

use crate::{
    backend::modelopt::placement::view::View,
    model::onnx::{Graph, NodeId},
    spec::Reason,
};

/// The input of an addition that arrives by the branch that does not fuse.
pub(in crate::backend::modelopt::placement) fn inputs(view: &View<'_>, layer: usize) -> Result<Vec<usize>, Reason> {
    let graph = view.graph;
    let node = view.node(layer).ok_or(Reason::InSubgraph)?;
    let [(first, a), (second, b)] = graph.variable_inputs(node)[..] else { return Err(Reason::NotResidual) };
    let (Some(a), Some(b)) = (graph.producer(a), graph.producer(b)) else { return Err(Reason::NotResidual) };
    let (residual, backbone) = match (backbone(graph, a), backbone(graph, b)) {
        (Some(left), Some(right)) if left != right => {
            if is_shorter(graph, a, b) {
                (first, right)
            } else {
                (second, left)
            }
        }
        (Some(backbone), None) if !is_before(graph, backbone, b) => (second, backbone),
        (None, Some(backbone)) if !is_before(graph, backbone, a) => (first, backbone),
        _ => return Err(Reason::NotResidual),
    };
    let quantized = view.with_quantized_inputs(backbone).is_some();
    if quantized { Ok(vec![residual]) } else { Err(Reason::NeighbourNotQuantized) }
}

/// Whether the branch that ends in `a` is shorter than the one that ends in `b`, from the nearest node before both.
fn is_shorter(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    let (before_a, before_b) = (graph.distances_before(a), graph.distances_before(b));
    let common = before_a.iter().filter_map(|(node, to_a)| Some((*to_a, *before_b.get(node)?)));
    common.min_by_key(|(to_a, to_b)| to_a + to_b).is_some_and(|(to_a, to_b)| to_a < to_b)
}

/// Whether the branch that ends in `end` begins at or behind `node`, as where a block adds what its first layer gave.
fn is_before(graph: &Graph, node: NodeId, end: NodeId) -> bool {
    graph.distances_before(end).contains_key(&node)
}

/// The convolution that everything up to a node fuses with.
fn backbone(graph: &Graph, mut node: NodeId) -> Option<NodeId> {
    // A graph without circles ends.
    for _ in graph.nodes() {
        if matches!(graph.op(node), Some("Conv" | "ConvTranspose")) {
            return Some(node);
        }
        if !graph.facts(node).fuses {
            return None;
        }
        let [(_, before)] = graph.variable_inputs(node)[..] else { return None };
        node = graph.producer(before)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::placed;
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    fn start() -> GraphBuilder {
        GraphBuilder::new()
            .input("in", &[1, 16, 8, 8])
            .weight("w", &[16, 16, 3, 3])
            .node("Sigmoid", &["in"], &["x"])
            .node("Conv", &["x", "w"], &["conv"])
    }

    fn of_add(graph: GraphBuilder) -> Vec<String> {
        placed("tensorrt", graph, "int8").sites.into_iter().filter(|site| site.starts_with("add")).collect()
    }

    #[test]
    fn the_shortcut_gets_the_pair_on_either_side() {
        assert_eq!(of_add(start().node("Add", &["conv", "x"], &["add"])), ["add.1"]);
        assert_eq!(of_add(start().node("Add", &["x", "conv"], &["add"])), ["add.0"]);
    }

    #[test]
    fn of_two_convolutions_the_longer_branch_fuses() {
        let both = start().node("Relu", &["conv"], &["relu"]).node("Conv", &["relu", "w"], &["long"]).node(
            "Conv",
            &["x", "w"],
            &["short"],
        );
        assert_eq!(of_add(both.clone().node("Add", &["long", "short"], &["add"])), ["add.1"]);
        assert_eq!(of_add(both.node("Add", &["short", "long"], &["add"])), ["add.0"]);
    }

    #[test]
    fn an_addition_of_what_its_own_layer_gave_or_of_no_layer_is_not_residual() {
        let own = start().node("Sigmoid", &["conv"], &["gate"]).node("Add", &["conv", "gate"], &["add"]);
        let none = start().node("Sigmoid", &["x"], &["gate"]).node("Add", &["x", "gate"], &["add"]);
        for graph in [own, none] {
            assert_eq!(placed("tensorrt", graph, "int8").reasons, [("add".to_owned(), Reason::NotResidual)]);
        }
    }
}
