//! [`Wiring`]: who gives and who reads a tensor, and walks along a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::onnx::{
    OnnxError, dimensions,
    proto::{GraphProto, NodeProto},
};

/// Operators that pass values on as they are.
const COPIES: [&str; 10] =
    ["Cast", "Dropout", "Flatten", "Identity", "Relu", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"];

/// Who gives and who reads each tensor.
#[derive(Clone, Debug)]
pub(super) struct Wiring {
    producer: BTreeMap<String, usize>,
    consumers: BTreeMap<String, Vec<usize>>,
    constants: BTreeSet<String>,
    /// What the graph says of the shapes of its tensors; `None` for a dimension that is open.
    shapes: BTreeMap<String, Vec<Option<i64>>>,
}

/// A node's operator, of ONNX's own domain or not.
pub(super) fn op(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

impl Wiring {
    /// Of a graph.
    pub(super) fn new(graph: &GraphProto) -> Result<Self, OnnxError> {
        let constants: BTreeSet<&String> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref()).collect();
        let mut wiring = Wiring {
            producer: BTreeMap::new(),
            consumers: BTreeMap::new(),
            constants: BTreeSet::new(),
            shapes: shapes(graph),
        };
        for (position, node) in graph.node.iter().enumerate() {
            for output in &node.output {
                wiring.producer.insert(output.clone(), position);
            }
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                wiring.consumers.entry(input.clone()).or_default().push(position);
                if constants.contains(input) {
                    wiring.constants.insert(input.clone());
                }
            }
        }
        Ok(wiring)
    }

    /// The shape of a tensor, as far as the graph tells.
    pub(super) fn shape(&self, tensor: &str) -> Option<&[Option<i64>]> {
        self.shapes.get(tensor).map(Vec::as_slice)
    }

    /// The last dimension of a tensor, if the graph tells.
    pub(super) fn last_dimension(&self, tensor: &str) -> Option<i64> {
        self.shape(tensor)?.last().copied().flatten()
    }

    /// Whether a tensor is a constant.
    pub(super) fn is_constant(&self, tensor: &str) -> bool {
        self.constants.contains(tensor)
    }

    /// The node that gives a tensor.
    pub(super) fn producer(&self, tensor: &str) -> Option<usize> {
        self.producer.get(tensor).copied()
    }

    /// The nodes that read the outputs of one.
    pub(super) fn consumers<'a>(&'a self, graph: &'a GraphProto, node: usize) -> impl Iterator<Item = usize> + 'a {
        graph.node[node].output.iter().filter_map(|output| self.consumers.get(output)).flatten().copied()
    }

    /// The inputs of a node that are not constant, with the nodes that give them.
    pub(super) fn variable_inputs(&self, node: &NodeProto) -> Vec<(usize, Option<usize>)> {
        let inputs = node.input.iter().enumerate();
        let variable = inputs.filter(|(_, tensor)| !tensor.is_empty() && !self.is_constant(tensor));
        variable.map(|(at, tensor)| (at, self.producer(tensor))).collect()
    }

    /// The first node before a tensor that does more than pass values on.
    pub(super) fn producer_through_copies(&self, graph: &GraphProto, tensor: &str) -> Option<usize> {
        let mut node = self.producer(tensor)?;
        // A graph without circles ends; one with them is refused by the engine.
        for _ in 0..graph.node.len() {
            if !COPIES.contains(&op(&graph.node[node])) {
                return Some(node);
            }
            node = self.producer(graph.node[node].input.first()?)?;
        }
        None
    }

    /// The first nodes after one that do more than pass values on.
    pub(super) fn consumers_through_copies(&self, graph: &GraphProto, node: usize) -> Vec<usize> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut pending: Vec<usize> = self.consumers(graph, node).collect();
        while let Some(next) = pending.pop() {
            if !seen.insert(next) {
                continue;
            }
            if COPIES.contains(&op(&graph.node[next])) {
                pending.extend(self.consumers(graph, next));
            } else {
                found.push(next);
            }
        }
        found
    }

    /// How many steps each node before `start` lies away at least; `start` itself 0.
    pub(super) fn distances_before(&self, graph: &GraphProto, start: usize) -> BTreeMap<usize, usize> {
        let mut distances = BTreeMap::from([(start, 0)]);
        let mut pending = VecDeque::from([start]);
        while let Some(node) = pending.pop_front() {
            let next = distances[&node] + 1;
            for producer in graph.node[node].input.iter().filter_map(|tensor| self.producer(tensor)) {
                distances.entry(producer).or_insert_with(|| {
                    pending.push_back(producer);
                    next
                });
            }
        }
        distances
    }
}

fn shapes(graph: &GraphProto) -> BTreeMap<String, Vec<Option<i64>>> {
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    infos.filter_map(|info| Some((info.name.clone()?, dimensions(info)?))).collect()
}
