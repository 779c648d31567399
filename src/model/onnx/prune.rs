//! Removing what a rewrite has left without a reader.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, TensorId, node::for_each_read};

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
