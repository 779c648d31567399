//! Removing what a rewrite has left without a reader.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::{for_each_read, reads},
    node::int_attribute,
    proto::{AttributeProto, GraphProto, TensorProto, attribute_type, data_type},
};

/// Turns `Shape` of one of these initializers into a constant. Exporters compute the shape of a missing bias from that
/// of the weight, which would keep the float weight in the file for its dimensions alone.
pub(super) fn fold_shapes(graph: &mut GraphProto, initializers: &BTreeSet<String>) {
    let dims: BTreeMap<&String, &Vec<i64>> = graph
        .initializer
        .iter()
        .filter_map(|tensor| Some((tensor.name.as_ref()?, &tensor.dims)))
        .filter(|(name, _)| initializers.contains(*name))
        .collect();
    for node in &mut graph.node {
        let shape = node.op_type.as_deref() == Some("Shape");
        let Some(dims) = node.input.first().filter(|_| shape).and_then(|input| dims.get(input)) else { continue };
        // ONNX counts a negative axis from the end and clamps both to the rank.
        let rank = dims.len() as i64;
        let axis = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
        let (start, end) = (int_attribute(node, "start").unwrap_or(0), int_attribute(node, "end").unwrap_or(rank));
        let asked = dims.get(axis(start)..axis(end)).unwrap_or_default().to_vec();
        let value = TensorProto {
            dims: vec![asked.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: asked,
            ..Default::default()
        };
        node.op_type = Some("Constant".to_owned());
        node.input.clear();
        node.attribute = vec![AttributeProto {
            name: Some("value".to_owned()),
            t: value.into(),
            r#type: Some(attribute_type::TENSOR),
            ..Default::default()
        }];
    }
}

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
