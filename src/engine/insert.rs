//! Putting our operators into a graph.

use super::{
    observer,
    operator::{DOMAIN, SLOT},
    transform,
};
use crate::{
    model::onnx::{Model, Use, attribute_int, new_node, proto::NodeProto},
    numeric::FloatFormat,
};

/// A copy of a model in which every reader of a watched tensor reads the observer's output instead; the tensor's position
/// in `watched` is its slot.
pub fn with_observers(model: &Model, watched: &[(&String, FloatFormat)]) -> Model {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    for (slot, (tensor, format)) in watched.iter().enumerate() {
        let output = graph.claim(&format!("{tensor}.observed"));
        let observer = in_slot(observer::op(*format), tensor, &output, slot);
        match graph.tensor(tensor) {
            Some(tensor) => graph.insert_behind(tensor, vec![observer]),
            None => graph.insert(0, vec![observer]),
        }
    }
    model
}

/// An input of a node whose values are replaced.
#[derive(Clone, Copy, Debug)]
pub struct TransformedInput {
    /// The node, and which of its inputs.
    pub at: Use,
    /// The element format of the tensor that the node reads there.
    pub format: FloatFormat,
}

/// A copy of a model in which each of these inputs goes through a change of its own; the position in `inputs` is its slot.
pub fn with_transforms(model: &Model, inputs: &[TransformedInput]) -> Model {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    for (slot, changed) in inputs.iter().enumerate() {
        let Use { node, input } = changed.at;
        let Some(tensor) = graph.input(node, input).map(|tensor| graph.name(tensor).to_owned()) else { continue };
        let output = graph.claim(&format!("{tensor}.changed"));
        let transform = in_slot(transform::op(changed.format), &tensor, &output, slot);
        graph.insert_on_edge(&[changed.at], vec![transform]);
    }
    model
}

fn in_slot(op: &str, input: &str, output: &str, slot: usize) -> NodeProto {
    let mut node = new_node(op, DOMAIN, vec![input.to_owned()], output);
    node.attribute.push(attribute_int(SLOT, slot as i64));
    node
}
