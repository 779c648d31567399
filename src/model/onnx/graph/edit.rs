//! Changing a graph: the index follows.

use std::collections::BTreeSet;

use super::{Graph, Node, NodeId, TensorId, Use};
use crate::model::onnx::{
    Bytes,
    proto::{NodeProto, TensorProto, ValueInfoProto, data_type},
};

impl Graph {
    /// A name not in use yet, which now is: `wanted`, or `wanted` with a number.
    pub fn claim(&mut self, wanted: &str) -> String {
        self.names.claim(wanted)
    }

    /// Adds a constant of 64-bit integers in one dimension, as shapes, axes and paddings are; its name, which is `wanted` or
    /// `wanted` with a number.
    pub fn add_ints(&mut self, wanted: &str, values: &[i64]) -> String {
        let name = self.claim(wanted);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add_initializer(TensorProto {
            name: Some(name.clone()),
            dims: vec![values.len() as i64],
            data_type: Some(data_type::INT64),
            raw_data: Some(Bytes::from(bytes)),
            ..Default::default()
        });
        name
    }

    /// Puts a chain of nodes on edges of the graph: the uses read what the last of the nodes gives, and the nodes stand
    /// right before the first node of the uses, or at the end if there are none.
    pub fn insert_on_edge(&mut self, uses: &[Use], chain: Vec<NodeProto>) {
        let position = uses.iter().map(|one| self.position(one.node)).min().unwrap_or(usize::MAX);
        self.put_on_edges(uses, position, chain);
    }

    /// The same for every use of a tensor, but right behind the node that gives it, or first of all where none does. An
    /// engine that goes by the order of nodes then does not hold the tensor longer than without the chain.
    pub fn insert_behind(&mut self, tensor: TensorId, chain: Vec<NodeProto>) {
        let uses = self.uses(tensor).to_vec();
        self.insert_behind_for(tensor, &uses, chain);
    }

    /// The same for some uses of the tensor.
    pub fn insert_behind_for(&mut self, tensor: TensorId, uses: &[Use], chain: Vec<NodeProto>) {
        let position = self.producer(tensor).map_or(0, |node| self.position(node) + 1);
        self.put_on_edges(uses, position, chain);
    }

    fn put_on_edges(&mut self, uses: &[Use], position: usize, chain: Vec<NodeProto>) {
        let Some(output) = chain.last().and_then(|node| node.output.first()).cloned() else { return };
        self.insert(position, chain);
        for one in uses {
            self.set_input(*one, &output);
        }
    }

    /// Makes a node read another tensor. An input that the node does not have stays away.
    ///
    /// The index changes for this one use alone: a node may read one tensor thousands of times, as a `Concat` can.
    pub fn set_input(&mut self, at: Use, tensor: &str) {
        let to = (!tensor.is_empty()).then(|| self.intern(tensor));
        let Some(entry) = self.nodes.get_mut(at.node.0) else { return };
        let (Some(name), Some(input)) = (entry.proto.input.get_mut(at.input), entry.inputs.get_mut(at.input)) else {
            return;
        };
        tensor.clone_into(name);
        if let Some(from) = std::mem::replace(input, to) {
            let place = self.place_of(from, at);
            self.change(from, |tensor| {
                if tensor.uses.get(place) == Some(&at) {
                    tensor.uses.remove(place);
                }
            });
        }
        if let Some(to) = to {
            self.names.note(tensor);
            let place = self.place_of(to, at);
            self.change(to, |tensor| tensor.uses.insert(place, at));
        }
    }

    /// Changes a node in any way.
    pub fn update(&mut self, node: NodeId, change: impl FnOnce(&mut NodeProto)) {
        self.unlink(node);
        if let Some(entry) = self.nodes.get_mut(node.0) {
            change(&mut entry.proto);
            self.note_names(node);
        }
        self.link(node);
    }

    /// Puts new nodes at a position; beyond the last node is the end.
    pub fn insert(&mut self, position: usize, nodes: Vec<NodeProto>) {
        let position = position.min(self.order.len());
        let first = self.nodes.len();
        self.nodes.extend(nodes.into_iter().map(|proto| Node { proto, ..Node::default() }));
        let ids: Vec<NodeId> = (first..self.nodes.len()).map(NodeId).collect();
        self.order.splice(position..position, ids.iter().copied());
        self.number_from(position);
        for id in ids {
            self.note_names(id);
            self.link(id);
        }
    }

    /// Removes nodes, and forgets their uses of tensors.
    pub fn remove(&mut self, nodes: &BTreeSet<NodeId>) {
        self.order.retain(|node| !nodes.contains(node));
        for node in nodes {
            self.unlink(*node);
            if let Some(entry) = self.nodes.get_mut(node.0) {
                *entry = Node::default();
            }
        }
        self.number_from(0);
    }

    /// Adds an initializer, or puts it in the place of the one that has its name.
    pub fn add_initializer(&mut self, tensor: TensorProto) -> TensorId {
        let id = self.intern(tensor.name.as_deref().unwrap_or_default());
        self.names.note(tensor.name.as_deref().unwrap_or_default());
        self.set_initializer(id, tensor);
        id
    }

    /// Takes the initializers out that `take` wants.
    pub fn take_initializers(&mut self, mut take: impl FnMut(&TensorProto) -> bool) -> Vec<TensorProto> {
        let mut taken = Vec::new();
        for id in std::mem::take(&mut self.initializers) {
            if self.initializer(id).is_some_and(&mut take) {
                self.change(id, |tensor| taken.extend(tensor.initializer.take()));
            } else {
                self.initializers.push(id);
            }
        }
        taken
    }

    /// Removes the inputs that `keep` does not want, as old models list their constants there too.
    pub fn retain_inputs(&mut self, keep: impl FnMut(&ValueInfoProto) -> bool) {
        self.frame.input.retain(keep);
    }

    fn note_names(&mut self, node: NodeId) {
        let Some(entry) = self.nodes.get(node.0) else { return };
        for name in entry.proto.name.iter().chain(&entry.proto.input).chain(&entry.proto.output) {
            self.names.note(name);
        }
    }

    fn number_from(&mut self, position: usize) {
        for (at, id) in self.order.iter().enumerate().skip(position) {
            if let Some(node) = self.nodes.get_mut(id.0) {
                node.position = at;
            }
        }
    }

    /// Takes a node out of the index.
    fn unlink(&mut self, node: NodeId) {
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        let (inputs, outputs) = (std::mem::take(&mut entry.inputs), std::mem::take(&mut entry.outputs));
        for tensor in inputs.into_iter().flatten().collect::<BTreeSet<_>>() {
            self.change(tensor, |tensor| tensor.uses.retain(|one| one.node != node));
        }
        for tensor in outputs.into_iter().flatten() {
            self.change(tensor, |tensor| tensor.producer = tensor.producer.filter(|&producer| producer != node));
        }
        let mut nested = Vec::new();
        super::for_each_nested_read(self.node(node), &mut |name| nested.extend(self.tensor(name)));
        for tensor in nested {
            self.change(tensor, |tensor| tensor.nested.retain(|&reader| reader != node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        new_node,
        testing::{GraphBuilder, constants, ints, lines},
    };

    /// Two nodes that read `x`, and one that reads both.
    fn forked() -> Graph {
        GraphBuilder::new()
            .input("x", &[1])
            .node("Relu", &["x"], &["a"])
            .node("Neg", &["x"], &["b"])
            .node("Add", &["a", "b"], &["y"])
            .output("y", &[1])
            .build()
    }

    fn uses(graph: &Graph, tensor: &str) -> Vec<Use> {
        graph.tensor(tensor).map(|tensor| graph.uses(tensor).to_vec()).unwrap_or_default()
    }

    #[test]
    fn a_node_on_one_edge_stands_before_its_reader_and_other_readers_read_on() {
        let mut graph = forked();
        let edge = uses(&graph, "x")[1];
        graph.insert_on_edge(
            &[edge],
            vec![new_node("Q", "", vec!["x".into()], "q"), new_node("D", "", vec!["q".into()], "d")],
        );
        assert_eq!(lines(&graph), ["Relu(x) -> a", "Q(x) -> q", "D(q) -> d", "Neg(d) -> b", "Add(a, b) -> y"]);
        assert_eq!(uses(&graph, "x").len(), 2);
        assert_eq!(graph.uses(graph.tensor("d").unwrap()), [edge]);
    }

    #[test]
    fn a_node_on_every_use_of_a_tensor_stands_before_the_first() {
        let mut graph = forked();
        let all = uses(&graph, "x");
        graph.insert_on_edge(&all, vec![new_node("Observe", "own", vec!["x".into()], "o")]);
        assert_eq!(lines(&graph), ["Observe(x) -> o", "Relu(o) -> a", "Neg(o) -> b", "Add(a, b) -> y"]);
        assert_eq!(uses(&graph, "o"), all);
        assert_eq!(uses(&graph, "x").len(), 1);
    }

    #[test]
    fn one_of_many_uses_by_one_node_is_redirected_and_the_others_stay() {
        let many = vec!["x"; 5];
        let mut graph = GraphBuilder::new().input("x", &[1]).node("Concat", &many, &["y"]).output("y", &[1]).build();
        let edges = uses(&graph, "x");
        graph.insert_on_edge(&edges[1..2], vec![new_node("Q", "", vec!["x".into()], "q")]);
        assert_eq!(lines(&graph), ["Q(x) -> q", "Concat(x, q, x, x, x) -> y"]);
        assert_eq!(uses(&graph, "x").len(), 5);
        assert_eq!(uses(&graph, "q"), [edges[1]]);
        graph.set_input(edges[1], "x");
        assert_eq!((uses(&graph, "x").len(), uses(&graph, "q").len()), (6, 0));
    }

    #[test]
    fn a_node_on_no_edge_stands_at_the_end() {
        let mut graph = forked();
        graph.insert_on_edge(&[], vec![new_node("Observe", "own", vec!["y".into()], "o")]);
        assert_eq!(lines(&graph).last().unwrap(), "Observe(y) -> o");
    }

    #[test]
    fn a_chain_behind_a_tensor_stands_next_to_its_producer() {
        let mut graph = forked();
        for (tensor, producer) in [("a", graph.node_at(0)), ("x", None)] {
            let id = graph.tensor(tensor).unwrap();
            assert_eq!(graph.producer(id), producer);
            let output = format!("{tensor}.observed");
            graph.insert_behind(id, vec![new_node("Observe", "own", vec![tensor.into()], &output)]);
            let observer = graph.producer(graph.tensor(&output).unwrap()).unwrap();
            assert_eq!(graph.position(observer), producer.map_or(0, |node| graph.position(node) + 1));
            assert_eq!(uses(&graph, tensor), [Use { node: observer, input: 0 }]);
        }
    }

    #[test]
    fn uses_stay_in_the_order_of_the_nodes_however_they_come_about() {
        let mut graph = forked();
        let (add, relu) = (graph.node_at(2).unwrap(), graph.node_at(0).unwrap());
        graph.set_input(Use { node: add, input: 1 }, "x");
        graph.set_input(Use { node: relu, input: 0 }, "b");
        graph.set_input(Use { node: relu, input: 0 }, "x");
        let positions: Vec<usize> = uses(&graph, "x").iter().map(|one| graph.position(one.node)).collect();
        assert_eq!(positions, [0, 1, 2]);
        assert!(uses(&graph, "b").is_empty());
    }

    #[test]
    fn an_input_that_is_not_there_is_not_set() {
        let mut graph = forked();
        let relu = graph.node_at(0).unwrap();
        graph.set_input(Use { node: relu, input: 7 }, "b");
        assert_eq!(lines(&graph), lines(&forked()));
    }

    #[test]
    fn a_removed_node_gives_and_reads_nothing_and_others_keep_their_ids() {
        let mut graph = forked();
        let [relu, neg, add] = [0, 1, 2].map(|at| graph.node_at(at).unwrap());
        graph.remove(&[neg].into());
        assert_eq!(lines(&graph), ["Relu(x) -> a", "Add(a, b) -> y"]);
        assert_eq!(graph.producer(graph.tensor("b").unwrap()), None);
        assert_eq!(uses(&graph, "x"), [Use { node: relu, input: 0 }]);
        assert_eq!((graph.position(add), graph.op(add), graph.op(neg)), (1, Some("Add"), None));
    }

    #[test]
    fn an_initializer_of_the_same_name_takes_the_place_of_the_first() {
        let mut graph = GraphBuilder::new().ints("a", &[1]).ints("b", &[2]).build();
        graph.add_initializer(ints("a", &[3]));
        graph.add_initializer(ints("c", &[4]));
        assert_eq!(constants(&graph), ["a", "b", "c"]);
        assert_eq!(graph.initializers().next().unwrap().int64_data, [3]);
        let taken = graph.take_initializers(|tensor| tensor.int64_data != [2]);
        assert_eq!((taken.len(), constants(&graph)), (2, vec!["b"]));
        assert!(!graph.is_constant(graph.tensor("a").unwrap()));
    }

    #[test]
    fn claimed_names_are_new_also_after_an_insertion() {
        let mut graph = forked();
        assert_eq!([graph.claim("x"), graph.claim("x"), graph.claim("z")], ["x_2", "x_3", "z"]);
        graph.insert(0, vec![new_node("Relu", "", vec!["x".into()], "new")]);
        assert_eq!(graph.claim("new"), "new_2");
    }
}
