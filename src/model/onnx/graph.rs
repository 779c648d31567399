//! [`GraphIndex`]: who produces a tensor, and who reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    OnnxError,
    proto::{GraphProto, NodeProto},
};

/// An index of a graph as it was when the index was made.
#[derive(Debug)]
pub struct GraphIndex {
    /// Tensor to the position of the node that gives it.
    producer: BTreeMap<String, usize>,
    /// Constant to its position among the initializers.
    initializer: BTreeMap<String, usize>,
    /// Every name in use.
    names: BTreeSet<String>,
}

impl GraphIndex {
    /// Indexes the main graph; names used in subgraphs count as in use.
    pub fn new(graph: &GraphProto) -> Result<Self, OnnxError> {
        let mut index = GraphIndex { producer: BTreeMap::new(), initializer: BTreeMap::new(), names: BTreeSet::new() };
        for (position, tensor) in graph.initializer.iter().enumerate() {
            let name = tensor.name.clone().unwrap_or_default();
            if index.initializer.insert(name.clone(), position).is_some() {
                return Err(OnnxError::Duplicate { tensor: name });
            }
        }
        for (position, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                let twice = index.producer.insert(output.clone(), position).is_some();
                if twice || index.initializer.contains_key(output) {
                    return Err(OnnxError::Duplicate { tensor: output.clone() });
                }
            }
        }
        index.names.extend(graph.input.iter().filter_map(|input| input.name.clone()));
        index.names.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
        for node in &graph.node {
            index.names.extend(node.name.clone());
            index.names.extend(node.output.iter().cloned());
            for_each_read(node, &mut |name| {
                index.names.insert(name.to_owned());
            });
        }
        Ok(index)
    }

    /// The position of the node that gives this tensor.
    pub fn producer(&self, tensor: &str) -> Option<usize> {
        self.producer.get(tensor).copied()
    }

    /// The position of this initializer.
    pub fn initializer(&self, tensor: &str) -> Option<usize> {
        self.initializer.get(tensor).copied()
    }

    /// A name not in use yet, which now is: `wanted` or `wanted` with a number.
    pub fn claim(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut suffix = 1;
        while !self.names.insert(name.clone()) {
            suffix += 1;
            name = format!("{wanted}_{suffix}");
        }
        name
    }
}

/// How often each tensor is read, by the nodes that `counts` says and as an output of the graph.
pub fn reads(graph: &GraphProto, counts: impl Fn(&NodeProto) -> bool) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for output in &graph.output {
        *found.entry(output.name.clone().unwrap_or_default()).or_default() += 1;
    }
    for node in graph.node.iter().filter(|node| counts(node)) {
        for_each_read(node, &mut |name| *found.entry(name.to_owned()).or_default() += 1);
    }
    found
}

/// Calls `read` with every tensor that a node reads, those that its subgraphs take from outside included.
pub(super) fn for_each_read(node: &NodeProto, read: &mut impl FnMut(&str)) {
    node.input.iter().filter(|name| !name.is_empty()).for_each(|name| read(name));
    for attribute in &node.attribute {
        for graph in attribute.g.as_option().into_iter().chain(&attribute.graphs) {
            graph.node.iter().for_each(|inner| for_each_read_dyn(inner, read));
            graph.output.iter().filter_map(|output| output.name.as_deref()).for_each(&mut *read);
        }
    }
}

/// Recursion through a trait object: through the generic it would have no end at compile time.
fn for_each_read_dyn(node: &NodeProto, read: &mut dyn FnMut(&str)) {
    for_each_read(node, &mut |name| read(name));
}
