//! [`Graph`]: the main graph of a model with an index that tells who gives a tensor and who reads it.
//!
//! Made once from the file's message. Edits keep the index right, and ids stay what they are. Nothing here panics over a
//! file: what may be missing is an `Option`, and the id of a node that was removed is that of an empty node.

mod edit;
mod ids;
mod names;
mod node_names;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

pub use self::{
    ids::{NodeId, TensorId, Use},
    names::Names,
};
use super::{
    OnnxError,
    node::{dimensions, for_each_nested_read, is_own_domain},
    op::OpFacts,
    proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto},
};

/// A graph and its index.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What is neither node nor initializer.
    frame: GraphProto,
    /// By id; one that was removed is empty.
    nodes: Vec<Node>,
    /// The nodes that there are, as the file orders them.
    order: Vec<NodeId>,
    /// By id; a name gets the next one when it is first met.
    tensors: Vec<Tensor>,
    ids: HashMap<String, TensorId>,
    /// The initializers, as the file orders them.
    initializers: Vec<TensorId>,
    names: Names,
}

#[derive(Clone, Debug, Default)]
struct Node {
    proto: NodeProto,
    inputs: Vec<Option<TensorId>>,
    outputs: Vec<Option<TensorId>>,
    /// Where it stands in `order`.
    position: usize,
}

#[derive(Clone, Debug, Default)]
struct Tensor {
    name: String,
    producer: Option<NodeId>,
    /// In the order of the nodes.
    uses: Vec<Use>,
    /// For each time that a branch or loop reads it, the node that the branch or loop belongs to.
    nested: Vec<NodeId>,
    /// How often it is an output of the graph.
    outputs: usize,
    initializer: Option<TensorProto>,
    shape: Option<Vec<Option<i64>>>,
}

static NO_NODE: LazyLock<Node> = LazyLock::new(Node::default);
static NO_TENSOR: LazyLock<Tensor> = LazyLock::new(Tensor::default);

impl Graph {
    /// Indexes a graph. Two nodes or constants that give one tensor are an error.
    pub fn new(mut frame: GraphProto) -> Result<Self, OnnxError> {
        let names = Names::new(&frame);
        let (nodes, initializers) = (std::mem::take(&mut frame.node), std::mem::take(&mut frame.initializer));
        let mut graph = Graph {
            frame,
            nodes: Vec::with_capacity(nodes.len()),
            order: Vec::with_capacity(nodes.len()),
            tensors: Vec::new(),
            ids: HashMap::new(),
            initializers: Vec::with_capacity(initializers.len()),
            names,
        };
        for tensor in initializers {
            let id = graph.intern(tensor.name.as_deref().unwrap_or_default());
            if graph.initializer(id).is_some() {
                return Err(OnnxError::Duplicate { tensor: graph.name(id).to_owned() });
            }
            graph.set_initializer(id, tensor);
        }
        for proto in nodes {
            for output in proto.output.iter().filter(|output| !output.is_empty()) {
                let id = graph.intern(output);
                let next = NodeId(graph.nodes.len());
                let known = graph.tensor_at(id);
                if known.producer.is_some() || known.initializer.is_some() {
                    return Err(OnnxError::Duplicate { tensor: output.clone() });
                }
                graph.change(id, |tensor| tensor.producer = Some(next));
            }
            let id = NodeId(graph.nodes.len());
            graph.nodes.push(Node { proto, position: graph.order.len(), ..Node::default() });
            graph.order.push(id);
            graph.link(id);
        }
        graph.note_infos();
        Ok(graph)
    }

    /// Notes what the file says of shapes, and which tensors are outputs.
    fn note_infos(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        for info in frame.input.iter().chain(&frame.output).chain(&frame.value_info) {
            if let (Some(name), Some(dims)) = (&info.name, dimensions(info)) {
                let id = self.intern(name);
                self.change(id, |tensor| tensor.shape = Some(dims));
            }
        }
        for output in &frame.output {
            let id = self.intern(output.name.as_deref().unwrap_or_default());
            self.change(id, |tensor| tensor.outputs += 1);
        }
        self.frame = frame;
    }

    /// The graph as a protobuf message, nodes and initializers in the file's order.
    pub fn to_proto(&self) -> GraphProto {
        let mut proto = self.frame.clone();
        proto.node = self.nodes().map(|id| self.node(id).clone()).collect();
        proto.initializer = self.initializers().cloned().collect();
        proto
    }

    /// What the file says besides nodes and initializers: name, inputs, outputs, shapes.
    pub fn frame(&self) -> &GraphProto {
        &self.frame
    }

    /// The inputs, in old models constants among them.
    pub fn inputs(&self) -> &[ValueInfoProto] {
        &self.frame.input
    }

    /// The graph's outputs, in the file's order.
    pub fn outputs(&self) -> &[ValueInfoProto] {
        &self.frame.output
    }

    /// The nodes, as the file orders them.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + '_ {
        self.order.iter().copied()
    }

    /// The node at a position of that order.
    pub fn node_at(&self, position: usize) -> Option<NodeId> {
        self.order.get(position).copied()
    }

    /// Where a node stands in that order.
    pub fn position(&self, node: NodeId) -> usize {
        self.node_entry(node).position
    }

    /// A node as the file has it.
    pub fn node(&self, node: NodeId) -> &NodeProto {
        &self.node_entry(node).proto
    }

    /// The operator of a node, if it is one of ONNX's own.
    pub fn op(&self, node: NodeId) -> Option<&str> {
        let proto = self.node(node);
        proto.op_type.as_deref().filter(|_| is_own_domain(proto.domain.as_deref()))
    }

    /// What is known of a node's operator.
    pub fn facts(&self, node: NodeId) -> &'static OpFacts {
        OpFacts::of(self.op(node).unwrap_or_default())
    }

    /// A node's input, unless it is left out.
    pub fn input(&self, node: NodeId, at: usize) -> Option<TensorId> {
        self.node_entry(node).inputs.get(at).copied().flatten()
    }

    /// A node's output, unless it is left out.
    pub fn output(&self, node: NodeId, at: usize) -> Option<TensorId> {
        self.node_entry(node).outputs.get(at).copied().flatten()
    }

    /// The inputs of a node that are not left out, each with its number.
    pub fn inputs_of(&self, node: NodeId) -> impl Iterator<Item = (usize, TensorId)> + '_ {
        self.node_entry(node).inputs.iter().enumerate().filter_map(|(at, tensor)| Some((at, (*tensor)?)))
    }

    /// The outputs of a node that are not left out.
    pub fn outputs_of(&self, node: NodeId) -> impl Iterator<Item = TensorId> + '_ {
        self.node_entry(node).outputs.iter().filter_map(|tensor| *tensor)
    }

    /// The inputs of a node that are neither left out nor constant, each with its number.
    pub fn variable_inputs(&self, node: NodeId) -> Vec<(usize, TensorId)> {
        self.inputs_of(node).filter(|(_, tensor)| !self.is_constant(*tensor)).collect()
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<TensorId> {
        self.ids.get(name).copied()
    }

    /// A tensor's name in the file.
    pub fn name(&self, tensor: TensorId) -> &str {
        &self.tensor_at(tensor).name
    }

    /// The node that gives a tensor.
    pub fn producer(&self, tensor: TensorId) -> Option<NodeId> {
        self.tensor_at(tensor).producer
    }

    /// Where the nodes of this graph read a tensor, in their order.
    pub fn uses(&self, tensor: TensorId) -> &[Use] {
        &self.tensor_at(tensor).uses
    }

    /// The nodes that read a tensor, a branch or loop of theirs included: one for each time.
    pub fn readers(&self, tensor: TensorId) -> impl Iterator<Item = NodeId> + '_ {
        let tensor = self.tensor_at(tensor);
        tensor.uses.iter().map(|one| one.node).chain(tensor.nested.iter().copied())
    }

    /// How often a tensor is read, and is an output of the graph.
    pub fn reads(&self, tensor: TensorId) -> usize {
        self.readers(tensor).count() + self.tensor_at(tensor).outputs
    }

    /// Like [`Graph::reads`] for the values alone: a `Shape` reads none.
    pub fn value_reads(&self, tensor: TensorId) -> usize {
        self.readers(tensor).filter(|&node| self.op(node) != Some("Shape")).count() + self.tensor_at(tensor).outputs
    }

    /// The nodes that read the outputs of one, in the order of the outputs and then of the nodes.
    pub fn consumers(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.outputs_of(node).flat_map(|tensor| self.uses(tensor)).map(|one| one.node)
    }

    /// The initializer that a tensor is, if it is one.
    pub fn initializer(&self, tensor: TensorId) -> Option<&TensorProto> {
        self.tensor_at(tensor).initializer.as_ref()
    }

    /// Whether a tensor is an initializer.
    pub fn is_constant(&self, tensor: TensorId) -> bool {
        self.initializer(tensor).is_some()
    }

    /// The initializers, as the file orders them.
    pub fn initializers(&self) -> impl Iterator<Item = &TensorProto> + '_ {
        self.initializers.iter().filter_map(|tensor| self.initializer(*tensor))
    }

    /// What the file says of a tensor's shape, `None` for a dimension that is open. It says nothing of most constants.
    pub fn shape(&self, tensor: TensorId) -> Option<&[Option<i64>]> {
        self.tensor_at(tensor).shape.as_deref()
    }

    /// The names in use.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The element types of the inputs and of what the file says about its tensors, by name.
    pub fn declared_types(&self) -> BTreeMap<String, i32> {
        use super::proto::type_proto::Value::TensorType;
        let infos = self.frame.input.iter().chain(&self.frame.value_info);
        let typed = infos.filter_map(|info| match info.r#type.as_option()?.value.as_ref()? {
            TensorType(tensor) => Some((info.name.clone()?, tensor.elem_type?)),
        });
        typed.collect()
    }

    fn node_entry(&self, node: NodeId) -> &Node {
        self.nodes.get(node.0).unwrap_or(&NO_NODE)
    }

    fn tensor_at(&self, tensor: TensorId) -> &Tensor {
        self.tensors.get(tensor.0).unwrap_or(&NO_TENSOR)
    }

    fn change(&mut self, tensor: TensorId, change: impl FnOnce(&mut Tensor)) {
        if let Some(tensor) = self.tensors.get_mut(tensor.0) {
            change(tensor);
        }
    }

    /// The tensor of a name, which there now is.
    fn intern(&mut self, name: &str) -> TensorId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = TensorId(self.tensors.len());
        self.tensors.push(Tensor { name: name.to_owned(), ..Tensor::default() });
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn intern_all(&mut self, names: &[String]) -> Vec<Option<TensorId>> {
        names.iter().map(|name| (!name.is_empty()).then(|| self.intern(name))).collect()
    }

    fn set_initializer(&mut self, id: TensorId, proto: TensorProto) {
        if self.initializer(id).is_none() {
            self.initializers.push(id);
        }
        self.change(id, |tensor| tensor.initializer = Some(proto));
    }

    /// Where a use stands, or would, among those of a tensor, which are in the order of the nodes.
    fn place_of(&self, tensor: TensorId, at: Use) -> usize {
        let key = |one: &Use| (self.position(one.node), one.input);
        self.uses(tensor).partition_point(|other| key(other) < key(&at))
    }

    /// Enters a node into the index, at the position that it has.
    fn link(&mut self, node: NodeId) {
        let Some(entry) = self.nodes.get_mut(node.0) else { return };
        let proto = std::mem::take(&mut entry.proto);
        let (inputs, outputs) = (self.intern_all(&proto.input), self.intern_all(&proto.output));
        for (input, tensor) in inputs.iter().enumerate() {
            let Some(tensor) = *tensor else { continue };
            let one = Use { node, input };
            let place = self.place_of(tensor, one);
            self.change(tensor, |tensor| tensor.uses.insert(place, one));
        }
        for tensor in outputs.iter().flatten() {
            self.change(*tensor, |tensor| tensor.producer = Some(node));
        }
        let mut nested = Vec::new();
        for_each_nested_read(&proto, &mut |name| nested.push(self.intern(name)));
        for tensor in nested {
            self.change(tensor, |tensor| tensor.nested.push(node));
        }
        if let Some(entry) = self.nodes.get_mut(node.0) {
            (entry.proto, entry.inputs, entry.outputs) = (proto, inputs, outputs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn inputs_that_are_left_out_and_those_that_are_not_there_are_none() {
        let graph = GraphBuilder::new().node("Resize", &["x", "", "scales"], &["y", ""]).build();
        let node = graph.node_at(0).unwrap();
        let names: Vec<_> = (0..4).map(|at| graph.input(node, at).map(|tensor| graph.name(tensor))).collect();
        assert_eq!(names, [Some("x"), None, Some("scales"), None]);
        assert_eq!(graph.outputs_of(node).count(), 1);
        assert_eq!(graph.node_at(1), None);
    }

    #[test]
    fn both_spellings_of_the_default_domain_are_onnxs_own() {
        let with = |domain: &str| GraphBuilder::new().node("Conv", &["x", "w"], &["y"]).domain(domain).build();
        for (domain, op) in
            [("", Some("Conv")), ("ai.onnx", Some("Conv")), ("ai.onnx.ml", None), ("com.microsoft", None)]
        {
            let graph = with(domain);
            assert_eq!(graph.op(graph.node_at(0).unwrap()), op, "{domain}");
        }
    }

    #[test]
    fn a_tensor_given_twice_is_an_error() {
        let twice = [
            GraphBuilder::new().node("Relu", &["x"], &["y"]).node("Neg", &["x"], &["y"]),
            GraphBuilder::new().node("Split", &["x"], &["y", "y"]),
            GraphBuilder::new().ints("y", &[1]).node("Neg", &["x"], &["y"]),
            GraphBuilder::new().ints("y", &[1]).ints("y", &[2]),
        ];
        for graph in twice {
            assert!(matches!(Graph::new(graph.proto()), Err(OnnxError::Duplicate { tensor }) if tensor == "y"));
        }
    }

    #[test]
    fn reads_count_inner_graphs_and_outputs_and_values_not_what_reads_a_shape() {
        let branch = GraphBuilder::new().node("Neg", &["x"], &["n"]).output("n", &[]);
        let graph = GraphBuilder::new()
            .input("x", &[2])
            .node("Shape", &["x"], &["s"])
            .node("Mul", &["x", "x"], &["m"])
            .node("If", &["c"], &["y"])
            .inner("then_branch", branch)
            .output("x", &[2])
            .build();
        let x = graph.tensor("x").unwrap();
        assert_eq!((graph.uses(x).len(), graph.reads(x), graph.value_reads(x)), (3, 5, 4));
        assert_eq!(graph.shape(x), Some(&[Some(2)][..]));
    }

    #[test]
    fn the_message_comes_back_as_it_was() {
        let proto = GraphBuilder::new()
            .input("x", &[-1, 4])
            .weight("w", &[4, 2])
            .node("MatMul", &["x", "w"], &["y"])
            .output("y", &[-1, 2])
            .proto();
        assert_eq!(Graph::new(proto.clone()).unwrap().to_proto(), proto);
    }

    #[test]
    fn variable_inputs_are_neither_constant_nor_left_out() {
        let graph = GraphBuilder::new().weight("w", &[1]).node("Clip", &["x", "", "w", "y"], &["z"]).build();
        let numbers: Vec<usize> =
            graph.variable_inputs(graph.node_at(0).unwrap()).into_iter().map(|(at, _)| at).collect();
        assert_eq!(numbers, [0, 3]);
    }
}
