//! Pooling between quantized layers.

use crate::{backend::modelopt::placement::view::View, spec::Reason};

/// Pooling keeps the codes between two quantized layers; elsewhere a pair would only cost time.
pub(in crate::backend::modelopt::placement) fn inputs(view: &View<'_>, layer: usize) -> Result<Vec<usize>, Reason> {
    if view.activations(layer).is_none_or(|dtype| !dtype.is_integer()) {
        return Err(Reason::DtypeUnsupported);
    }
    let graph = view.graph;
    let node = view.node(layer).ok_or(Reason::InSubgraph)?;
    let before = graph.input(node, 0).and_then(|tensor| graph.producer_through_copies(tensor));
    let mut beside = before.into_iter().chain(graph.consumers_through_copies(node));
    let quantized = |node| view.with_quantized_inputs(node).is_some_and(|layer| view.candidate(layer).is_some());
    if beside.any(quantized) { Ok(vec![0]) } else { Err(Reason::NeighbourNotQuantized) }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::placed;
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    fn pooled() -> GraphBuilder {
        GraphBuilder::new()
            .input("x", &[1, 16, 8, 8])
            .weight("w", &[16, 16, 3, 3])
            .node("Conv", &["x", "w"], &["conv"])
            .node("Relu", &["conv"], &["relu"])
            .node("MaxPool", &["relu"], &["pool"])
    }

    #[test]
    fn it_gets_a_pair_behind_a_quantized_layer_and_not_alone() {
        assert_eq!(placed("tensorrt", pooled(), "int8").sites, ["conv.0", "pool.0"]);
        let alone = GraphBuilder::new().input("x", &[1, 16, 8, 8]).node("MaxPool", &["x"], &["pool"]);
        assert_eq!(placed("tensorrt", alone, "int8").reasons, [("pool".to_owned(), Reason::NeighbourNotQuantized)]);
    }

    #[test]
    fn fp8_has_no_pooling() {
        assert_eq!(placed("tensorrt", pooled(), "fp8_e4m3fn").reasons, [("pool".to_owned(), Reason::DtypeUnsupported)]);
    }

    #[test]
    fn pooling_of_nothing_is_left_alone() {
        let nothing = GraphBuilder::new().node("MaxPool", &[], &["pool"]);
        assert_eq!(placed("tensorrt", nothing, "int8").reasons, [("pool".to_owned(), Reason::NeighbourNotQuantized)]);
    }
}
