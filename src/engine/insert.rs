//! Putting our operators into a graph.

use std::collections::BTreeMap;

use super::{element::DOMAIN, observer, transform};
use crate::{
    model::onnx::{GraphIndex, Model, OnnxError, attribute_int, new_node, proto::NodeProto},
    numeric::FloatFormat,
};

/// A copy of a model in which every reader of a watched tensor reads the observer's output instead; the tensor's position
/// in `watched` is its slot.
pub fn with_observers(model: &Model, watched: &[(&String, FloatFormat)]) -> Result<Model, OnnxError> {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    let mut index = GraphIndex::new(graph)?;
    let mut renamed = BTreeMap::new();
    let mut after: BTreeMap<Option<usize>, Vec<_>> = BTreeMap::new();
    for (slot, (tensor, format)) in watched.iter().enumerate() {
        let output = index.claim(&format!("{tensor}.observed"));
        let node = in_slot(observer::op(*format), tensor, &output, slot);
        after.entry(index.producer(tensor)).or_default().push(node);
        renamed.insert((*tensor).clone(), output);
    }
    let nodes = std::mem::take(&mut graph.node);
    graph.node.extend(after.remove(&None).unwrap_or_default());
    for (position, mut node) in nodes.into_iter().enumerate() {
        for input in &mut node.input {
            if let Some(observed) = renamed.get(input) {
                input.clone_from(observed);
            }
        }
        graph.node.push(node);
        graph.node.extend(after.remove(&Some(position)).unwrap_or_default());
    }
    Ok(model)
}

/// An input of a node whose values are replaced.
#[derive(Clone, Copy, Debug)]
pub struct TransformedInput {
    /// The node's position in the graph.
    pub node: usize,
    /// Which of its inputs.
    pub input: usize,
    /// The tensor's format.
    pub format: FloatFormat,
}

/// A copy of a model in which each of these inputs goes through a change of its own; the position in `inputs` is its slot.
pub fn with_transforms(model: &Model, inputs: &[TransformedInput]) -> Result<Model, OnnxError> {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    let mut index = GraphIndex::new(graph)?;
    let mut before: BTreeMap<usize, Vec<NodeProto>> = BTreeMap::new();
    for (slot, changed) in inputs.iter().enumerate() {
        let Some(input) = graph.node.get_mut(changed.node).and_then(|node| node.input.get_mut(changed.input)) else {
            continue;
        };
        let output = index.claim(&format!("{input}.changed"));
        let node = in_slot(transform::op(changed.format), input, &output, slot);
        before.entry(changed.node).or_default().push(node);
        *input = output;
    }
    for (position, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        graph.node.extend(before.remove(&position).unwrap_or_default());
        graph.node.push(node);
    }
    Ok(model)
}

fn in_slot(op: &str, input: &str, output: &str, slot: usize) -> NodeProto {
    let mut node = new_node(op, DOMAIN, vec![input.to_owned()], output);
    node.attribute.push(attribute_int("slot", slot as i64));
    node
}
