//! Removing what a rewrite has left without a reader.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::{for_each_read, reads},
    proto::GraphProto,
};

/// Removes the nodes and initializers that `orphans` name and that nothing reads any more, and whatever only they read.
/// What nothing read to begin with stays as it was.
pub(super) fn prune(graph: &mut GraphProto, orphans: impl IntoIterator<Item = String>) {
    let mut readers = reads(graph, |_| true);
    let producer: BTreeMap<String, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(i, node)| node.output.iter().map(move |output| (output.clone(), i)))
        .collect();
    let read = |readers: &BTreeMap<String, usize>, name: &str| readers.get(name).is_some_and(|&n| n > 0);

    let (mut nodes, mut tensors) = (BTreeSet::new(), BTreeSet::new());
    let mut pending: Vec<String> = orphans.into_iter().collect();
    while let Some(name) = pending.pop() {
        if read(&readers, &name) {
            continue;
        }
        let Some(&i) = producer.get(&name) else {
            tensors.insert(name);
            continue;
        };
        let node = &graph.node[i];
        let dead = node.output.iter().all(|output| !read(&readers, output));
        if dead && nodes.insert(i) {
            for_each_read(node, &mut |name| {
                if let Some(n) = readers.get_mut(name) {
                    *n -= 1;
                }
                pending.push(name.to_owned());
            });
        }
    }
    let mut position = 0..;
    graph.node.retain(|_| position.next().is_none_or(|i| !nodes.contains(&i)));
    let constants: BTreeSet<String> = graph.initializer.iter().filter_map(|tensor| tensor.name.clone()).collect();
    let gone = |name: &Option<String>| name.as_ref().is_some_and(|name| tensors.contains(name));
    graph.initializer.retain(|tensor| !gone(&tensor.name));
    // Old models list their constants among the inputs too.
    graph.input.retain(|input| !(gone(&input.name) && input.name.as_ref().is_some_and(|n| constants.contains(n))));
}
