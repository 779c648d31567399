//! Putting observers into a graph.

use std::collections::BTreeMap;

use super::observer::{DOMAIN, op};
use crate::{
    model::onnx::{GraphIndex, Model, OnnxError, attribute_int, new_node},
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
        let mut node = new_node(op(*format), DOMAIN, vec![(*tensor).clone()], &output);
        node.attribute.push(attribute_int("slot", slot as i64));
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
