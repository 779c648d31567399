//! Walks along a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Graph, NodeId, TensorId};

impl Graph {
    /// The first node before a tensor that does more than pass values on.
    pub fn producer_through_copies(&self, tensor: TensorId) -> Option<NodeId> {
        let mut node = self.producer(tensor)?;
        // A graph without circles ends.
        for _ in 0..self.order.len() {
            if !self.facts(node).copies {
                return Some(node);
            }
            node = self.producer(self.input(node, 0)?)?;
        }
        None
    }

    /// The first nodes after one that do more than pass values on.
    pub fn consumers_through_copies(&self, node: NodeId) -> Vec<NodeId> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut pending: Vec<NodeId> = self.consumers(node).collect();
        while let Some(next) = pending.pop() {
            if !seen.insert(next) {
                continue;
            }
            if self.facts(next).copies {
                pending.extend(self.consumers(next));
            } else {
                found.push(next);
            }
        }
        found
    }

    /// How many steps each node before `start` lies away at least; `start` itself 0.
    pub fn distances_before(&self, start: NodeId) -> BTreeMap<NodeId, usize> {
        let mut distances = BTreeMap::from([(start, 0)]);
        let mut pending = VecDeque::from([(start, 0)]);
        while let Some((node, distance)) = pending.pop_front() {
            for producer in self.inputs_of(node).filter_map(|(_, tensor)| self.producer(tensor)) {
                distances.entry(producer).or_insert_with(|| {
                    pending.push_back((producer, distance + 1));
                    distance + 1
                });
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    /// A convolution, copies, and a fork of two readers; one of them far away.
    fn graph() -> Graph {
        GraphBuilder::new()
            .input("x", &[1, 3, 8, 8])
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["x", "w"], &["c"])
            .node("Relu", &["c"], &["r"])
            .node("Transpose", &["r"], &["t"])
            .node("Sigmoid", &["t"], &["s"])
            .node("Mul", &["s", "t"], &["y"])
            .build()
    }

    #[test]
    fn copies_are_passed_on_the_way_back() {
        let graph = graph();
        let conv = graph.node_at(0);
        assert_eq!(graph.producer_through_copies(graph.tensor("t").unwrap()), conv);
        assert_eq!(graph.producer_through_copies(graph.tensor("c").unwrap()), conv);
        assert_eq!(graph.producer_through_copies(graph.tensor("x").unwrap()), None);
    }

    #[test]
    fn copies_are_passed_on_the_way_forward() {
        let graph = graph();
        let mut found = graph.consumers_through_copies(graph.node_at(0).unwrap());
        found.sort();
        assert_eq!(found, [3, 4].map(|at| graph.node_at(at).unwrap()));
    }

    #[test]
    fn a_copy_of_another_domain_is_none() {
        let graph = GraphBuilder::new().node("Relu", &["x"], &["y"]).domain("com.microsoft").build();
        assert_eq!(graph.producer_through_copies(graph.tensor("y").unwrap()), graph.node_at(0));
    }

    #[test]
    fn distances_are_those_of_the_shortest_way() {
        let graph = graph();
        let distances = graph.distances_before(graph.node_at(4).unwrap());
        let by_position: Vec<usize> = distances.values().copied().collect();
        assert_eq!(by_position, [3, 2, 1, 1, 0]);
    }

    #[test]
    fn walks_end_on_a_circle_of_copies() {
        let graph = GraphBuilder::new().node("Relu", &["b"], &["a"]).node("Relu", &["a"], &["b"]).build();
        assert_eq!(graph.producer_through_copies(graph.tensor("a").unwrap()), None);
        assert!(graph.consumers_through_copies(graph.node_at(0).unwrap()).is_empty());
    }
}
