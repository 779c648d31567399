//! Names of nodes that no other node has.

use std::collections::BTreeMap;

use super::{Graph, NodeId};

impl Graph {
    /// Gives nodes that share a name new ones, save the first that was named otherwise than after its output, as new nodes
    /// are: onnxruntime refuses a graph in which two nodes have one name, and rules know layers by theirs.
    pub fn separate_node_names(&mut self) {
        let mut named: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        for node in self.nodes() {
            let name = self.node(node).name.as_deref().filter(|name| !name.is_empty());
            name.into_iter().for_each(|name| named.entry(name).or_default().push(node));
        }
        let mut renamed = Vec::new();
        for nodes in named.into_values().filter(|nodes| nodes.len() > 1) {
            let keeps = nodes.iter().position(|node| !self.is_named_after_output(*node)).unwrap_or(0);
            renamed.extend(nodes.into_iter().enumerate().filter(|(at, _)| *at != keeps).map(|(_, node)| node));
        }
        for node in renamed {
            let name = self.claim(self.node(node).name.clone().unwrap_or_default().as_str());
            self.update(node, |node| node.name = Some(name));
        }
    }

    fn is_named_after_output(&self, node: NodeId) -> bool {
        let proto = self.node(node);
        let parts = proto.output.first().zip(proto.op_type.as_ref());
        parts.is_some_and(|(output, op)| proto.name.as_deref() == Some(&format!("{output}/{op}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::onnx::{new_node, testing::GraphBuilder};

    #[test]
    fn of_two_nodes_with_one_name_the_new_one_gets_another() {
        let mut graph = GraphBuilder::new().input("x", &[1]).node("Neg", &["x"], &["y"]).output("y", &[1]).build();
        let old = graph.node_at(0).unwrap();
        graph.update(old, |node| node.name = Some("z/Relu".to_owned()));
        graph.insert(0, vec![new_node("Relu", "", vec!["x".to_owned()], "z")]);
        graph.separate_node_names();
        let names: Vec<_> = graph.nodes().map(|node| graph.node(node).name.clone().unwrap()).collect();
        assert_eq!(names, ["z/Relu_2", "z/Relu"]);
        graph.separate_node_names();
        assert_eq!(graph.node(old).name.as_deref(), Some("z/Relu"));
    }
}
