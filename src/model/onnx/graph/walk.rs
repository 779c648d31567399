//! Walks along a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Graph, NodeId, TensorId};
use crate::{
    model::onnx::{int_attribute, op::ResultType},
    numeric::FloatFormat,
};

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

    /// The nodes, each behind those whose outputs it reads, and otherwise as the file orders them. What branches read is not
    /// looked at.
    pub fn producers_first(&self) -> Vec<NodeId> {
        let (mut ordered, mut seen, mut done) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for last in self.nodes() {
            let mut pending = vec![last];
            while let Some(&node) = pending.last() {
                // A node that comes up again has nothing before it that is not done: a graph has no circles.
                if seen.insert(node) {
                    pending.extend(self.inputs_of(node).filter_map(|(_, tensor)| self.producer(tensor)));
                    continue;
                }
                pending.pop();
                if done.insert(node) {
                    ordered.push(node);
                }
            }
        }
        ordered
    }

    /// [`Graph::declared_types`], carried along the nodes whose results have the type of an input.
    pub fn carried_types(&self) -> BTreeMap<String, i32> {
        let mut types = self.declared_types();
        let constants = self.initializers().filter_map(|tensor| Some((tensor.name.clone()?, tensor.data_type?)));
        types.extend(constants);
        for id in self.producers_first() {
            let element = match (self.op(id), self.facts(id).result) {
                // Of the types that a Cast names, only floats are told: that is what readers are chosen by.
                (Some("Cast"), _) => int_attribute(self.node(id), "to")
                    .and_then(|to| i32::try_from(to).ok())
                    .filter(|&to| FloatFormat::from_onnx(to).is_some()),
                (_, ResultType::Like(input)) => {
                    self.input(id, input).and_then(|input| types.get(self.name(input)).copied())
                }
                _ => None,
            };
            let Some(element) = element else { continue };
            let outputs = self.node(id).output.iter().take(self.facts(id).float_outputs);
            for output in outputs.filter(|name| !name.is_empty()) {
                types.entry(output.clone()).or_insert(element);
            }
        }
        types
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
    fn a_cast_to_a_float_tells_its_type_to_what_follows() {
        let cast = |to| {
            let graph = GraphBuilder::new().node("Cast", &["i"], &["c"]).int("to", to).node("Relu", &["c"], &["r"]);
            graph.build().carried_types().get("r").copied()
        };
        assert_eq!([1, 10, 7].map(cast), [Some(1), Some(10), None]);
    }

    #[test]
    fn every_result_has_the_type_of_an_input_save_positions() {
        let graph = GraphBuilder::new()
            .input("x", &[4])
            .node("Split", &["x"], &["a", "b"])
            .node("TopK", &["b", "k"], &["v", "i"])
            .build();
        let types = graph.carried_types();
        assert_eq!(["a", "b", "v", "i"].map(|name| types.get(name).copied()), [Some(1), Some(1), Some(1), None]);
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
    fn producers_come_first_and_the_rest_keeps_its_order() {
        let graph = GraphBuilder::new()
            .node("Add", &["r", "m"], &["y"])
            .node("Relu", &["m"], &["r"])
            .node("Neg", &["x"], &["n"])
            .node("Mul", &["x", "x"], &["m"])
            .build();
        let order: Vec<usize> = graph.producers_first().into_iter().map(|id| graph.position(id)).collect();
        assert_eq!(order, [3, 1, 0, 2]);
        let graph = self::graph();
        assert_eq!(graph.producers_first(), graph.nodes().collect::<Vec<_>>());
    }

    #[test]
    fn walks_end_on_a_circle_of_copies() {
        let graph = GraphBuilder::new().node("Relu", &["b"], &["a"]).node("Relu", &["a"], &["b"]).build();
        assert_eq!(graph.producer_through_copies(graph.tensor("a").unwrap()), None);
        assert!(graph.consumers_through_copies(graph.node_at(0).unwrap()).is_empty());
        assert_eq!(graph.producers_first().len(), 2);
    }
}
