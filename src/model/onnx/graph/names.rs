//! [`Names`]: the names in use in a graph, and new ones that are not.

use std::collections::BTreeSet;

use crate::model::onnx::{
    node::{given_without_nodes, inner_graphs},
    proto::GraphProto,
};

/// Names in use: of nodes, and of tensors here or in a branch or loop.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The names of a graph.
    pub fn new(graph: &GraphProto) -> Self {
        let mut names = Names::default();
        names.add(graph);
        names
    }

    fn add(&mut self, graph: &GraphProto) {
        self.0.extend(given_without_nodes(graph).map(str::to_owned));
        for node in &graph.node {
            self.0.extend(node.name.clone());
            self.0.extend(node.input.iter().chain(&node.output).cloned());
            inner_graphs(node).for_each(|graph| self.add(graph));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn a_new_name_is_none_of_the_graph_or_of_its_branches() {
        let branch = GraphBuilder::new().node("Neg", &["x"], &["inner"]).output("inner", &[]);
        let graph = GraphBuilder::new().input("x", &[1]).node("If", &["x"], &["y"]).inner("then_branch", branch);
        let mut names = Names::new(&graph.proto());
        assert_eq!(
            ["x", "y", "inner", "new", "new"].map(|name| names.claim(name)),
            ["x_2", "y_2", "inner_2", "new", "new_2"]
        );
    }
}
