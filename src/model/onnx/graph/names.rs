//! [`Names`]: the names in use in a graph, and new ones that are not.

use std::collections::BTreeSet;

use crate::model::onnx::{node::for_each_read, proto::GraphProto};

/// Names in use: of nodes, and of tensors here or in a branch or loop.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The names of a graph.
    pub fn new(graph: &GraphProto) -> Self {
        let mut names = BTreeSet::new();
        names.extend(graph.input.iter().filter_map(|input| input.name.clone()));
        names.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
        names.extend(graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.name.clone()));
        for node in &graph.node {
            names.extend(node.name.clone());
            names.extend(node.output.iter().cloned());
            for_each_read(node, &mut |name| {
                names.insert(name.to_owned());
            });
        }
        Names(names)
    }

    /// Notes the names of a node that comes in.
    pub(super) fn note(&mut self, name: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    /// A name not in use yet, which now is: `wanted`, or `wanted` with a number.
    pub fn claim(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut suffix = 1;
        while !self.0.insert(name.clone()) {
            suffix += 1;
            name = format!("{wanted}_{suffix}");
        }
        name
    }
}
