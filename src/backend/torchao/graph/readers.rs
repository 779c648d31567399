//! [`Readers`]: who reads the constants that are weights.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    backend::graph::inventory::Candidate,
    model::onnx::{Graph, TensorId},
};

/// Who reads the constants that are weights.
pub(super) struct Readers {
    /// Constant to the layers that compute with it.
    pub(super) layers: BTreeMap<String, Vec<usize>>,
    /// Constants that something else reads too, for whom a change would come as a surprise.
    pub(super) others: BTreeSet<String>,
}

impl Readers {
    /// Of all weights in a graph.
    pub(super) fn new(graph: &Graph, candidates: &[Option<Candidate>]) -> Self {
        let mut layers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut expected: BTreeMap<TensorId, usize> = BTreeMap::new();
        let mut transposes = BTreeSet::new();
        for (at, candidate) in candidates.iter().enumerate() {
            let Some(candidate) = candidate else { continue };
            layers.entry(candidate.source.clone()).or_default().push(at);
            let Some(input) = weight_input(candidate, graph) else { continue };
            *expected.entry(input).or_default() += 1;
            if candidate.transposed && transposes.insert(input) {
                let source = graph.tensor(&candidate.source);
                source.into_iter().for_each(|source| *expected.entry(source).or_default() += 1);
            }
        }
        let surplus = |tensor: TensorId| graph.value_reads(tensor) > expected.get(&tensor).copied().unwrap_or(0);
        let through = candidates.iter().flatten().filter(|candidate| {
            graph.tensor(&candidate.source).is_some_and(surplus) || weight_input(candidate, graph).is_some_and(surplus)
        });
        Readers { others: through.map(|candidate| candidate.source.clone()).collect(), layers }
    }
}

/// The tensor that a candidate's node reads as its weight.
fn weight_input(candidate: &Candidate, graph: &Graph) -> Option<TensorId> {
    graph.input(candidate.node, candidate.weight_input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::graph::inventory, model::onnx::testing::GraphBuilder, numeric::FloatFormat};

    /// The layers that compute with `w`, and whether others read it.
    fn readers_of_w(graph: GraphBuilder) -> (usize, bool) {
        let model = graph.model(17);
        let candidates = inventory::inventory(model.graph(), &[FloatFormat::F32], &[]).unwrap().candidates;
        let readers = Readers::new(model.graph(), &candidates);
        (readers.layers.get("w").map_or(0, Vec::len), readers.others.contains("w"))
    }

    fn product() -> GraphBuilder {
        GraphBuilder::new()
            .input("x", &[1, 4])
            .weight("w", &[4, 4])
            .node("MatMul", &["x", "w"], &["y"])
            .output("y", &[1, 4])
    }

    #[test]
    fn a_weight_of_one_layer_has_no_other_readers() {
        assert_eq!(readers_of_w(product()), (1, false));
    }

    #[test]
    fn layers_that_share_a_weight_are_no_others() {
        assert_eq!(readers_of_w(product().node("MatMul", &["y", "w"], &["z"])), (2, false));
    }

    #[test]
    fn what_computes_with_the_weight_as_it_is_would_be_surprised() {
        assert_eq!(readers_of_w(product().node("Add", &["y", "w"], &["z"])), (1, true));
        assert_eq!(readers_of_w(product().output("w", &[4, 4])), (1, true));
    }

    #[test]
    fn a_shape_reads_no_values() {
        assert_eq!(readers_of_w(product().node("Shape", &["w"], &["dims"])), (1, false));
    }

    #[test]
    fn a_transpose_that_layers_share_is_read_once_for_all_of_them() {
        let transposed = || {
            GraphBuilder::new()
                .input("x", &[1, 4])
                .weight("w", &[4, 4])
                .node("Transpose", &["w"], &["t"])
                .node("MatMul", &["x", "t"], &["y"])
                .node("MatMul", &["y", "t"], &["z"])
                .output("z", &[1, 4])
        };
        assert_eq!(readers_of_w(transposed()), (2, false));
        assert_eq!(readers_of_w(transposed().node("Relu", &["t"], &["r"])), (2, true));
        assert_eq!(readers_of_w(transposed().node("Relu", &["w"], &["r"])), (2, true));
    }
}
