//! Removing what a rewrite has left without a reader.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::onnx::{Graph, TensorId, node::for_each_read};

/// Removes the nodes and initializers that `orphans` name and that nothing reads any more, and whatever only they read.
/// What nothing read to begin with stays as it was.
pub(super) fn prune(graph: &mut Graph, orphans: impl IntoIterator<Item = TensorId>) {
    // How many of a tensor's reads are of nodes that go.
    let mut lost: BTreeMap<TensorId, usize> = BTreeMap::new();
    let (mut nodes, mut tensors) = (BTreeSet::new(), BTreeSet::new());
    let mut pending: Vec<TensorId> = orphans.into_iter().collect();
    while let Some(tensor) = pending.pop() {
        let is_read = |tensor| graph.reads(tensor) > lost.get(&tensor).copied().unwrap_or(0);
        if is_read(tensor) {
            continue;
        }
        let Some(node) = graph.producer(tensor) else {
            tensors.insert(tensor);
            continue;
        };
        if !graph.outputs_of(node).any(is_read) && nodes.insert(node) {
            for_each_read(graph.node(node), &mut |name| {
                let Some(tensor) = graph.tensor(name) else { return };
                *lost.entry(tensor).or_default() += 1;
                pending.push(tensor);
            });
        }
    }
    graph.remove(&nodes);
    let constants: Vec<TensorId> = tensors.into_iter().filter(|tensor| graph.is_constant(*tensor)).collect();
    let gone: BTreeSet<String> = constants.into_iter().map(|tensor| graph.name(tensor).to_owned()).collect();
    let is_gone = |name: &Option<String>| name.as_ref().is_some_and(|name| gone.contains(name));
    graph.take_initializers(|tensor| is_gone(&tensor.name));
    // Old models list their constants among the inputs too.
    graph.retain_inputs(|input| !is_gone(&input.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    fn pruned(builder: GraphBuilder, orphan: &str) -> Graph {
        let mut graph = builder.build();
        let orphan = graph.tensor(orphan);
        prune(&mut graph, orphan);
        graph
    }

    /// `w` → `a` → `b`, which nothing reads; `v` is read by an output's node.
    fn chain() -> GraphBuilder {
        let constants = GraphBuilder::new().input("x", &[1]).weight("w", &[1]).weight("v", &[1]);
        constants
            .node("Neg", &["w"], &["a"])
            .node("Relu", &["a"], &["b"])
            .node("Add", &["x", "v"], &["y"])
            .output("y", &[])
    }

    #[test]
    fn a_chain_without_a_reader_goes_with_its_constants() {
        let graph = pruned(chain(), "b");
        assert_eq!((lines(&graph), constants(&graph)), (vec!["Add(x, v) -> y".to_owned()], vec!["v"]));
    }

    #[test]
    fn what_is_read_still_stays_and_so_does_what_nothing_read_to_begin_with() {
        assert_eq!(lines(&pruned(chain(), "a")).len(), 3);
        assert_eq!(constants(&pruned(chain(), "v")), ["w", "v"]);
        assert_eq!(lines(&pruned(chain().node("Exp", &["x"], &["unread"]), "b")).len(), 2);
    }

    #[test]
    fn a_node_with_another_output_that_is_read_stays() {
        let builder = GraphBuilder::new().weight("w", &[2]).node("Split", &["w"], &["a", "b"]).output("a", &[]);
        assert_eq!(lines(&pruned(builder, "b")).len(), 1);
    }

    #[test]
    fn what_a_branch_reads_goes_with_its_node() {
        let branch = GraphBuilder::new().node("Neg", &["w"], &["n"]).output("n", &[]);
        let builder = GraphBuilder::new().input("c", &[]).weight("w", &[1]);
        let graph = pruned(builder.node("If", &["c"], &["y"]).inner("then_branch", branch), "y");
        assert!(lines(&graph).is_empty() && constants(&graph).is_empty());
    }

    #[test]
    fn a_constant_listed_as_an_input_goes_there_too() {
        let graph = pruned(GraphBuilder::new().input("w", &[1]).weight("w", &[1]), "w");
        assert!(graph.inputs().is_empty() && constants(&graph).is_empty());
        assert_eq!(pruned(GraphBuilder::new().input("x", &[1]), "x").inputs().len(), 1);
    }
}
