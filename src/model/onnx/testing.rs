//! [`GraphBuilder`]: a graph in five lines, for tests.

use std::path::Path;

use super::{
    Bytes, Graph, Model, attribute_int, new_node,
    proto::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
        TypeProto, ValueInfoProto, attribute_type, data_type,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
};

/// Builds a graph from the front to the back. What changes a node changes the last one.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder(GraphProto);

impl GraphBuilder {
    /// A graph without nodes, inputs and outputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// An f32 input; a negative dimension is open.
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.0.input.push(info(name, dims, data_type::FLOAT));
        self
    }

    /// An f32 output; a negative dimension is open.
    pub fn output(mut self, name: &str, dims: &[i64]) -> Self {
        self.0.output.push(info(name, dims, data_type::FLOAT));
        self
    }

    /// What the file says of a tensor between.
    pub fn value(mut self, name: &str, dims: &[i64]) -> Self {
        self.0.value_info.push(info(name, dims, data_type::FLOAT));
        self
    }

    /// An f32 constant with these values.
    pub fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.0.initializer.push(floats(name, dims, values));
        self
    }

    /// An f32 constant of this shape: 0, 1, 2 …
    pub fn weight(self, name: &str, dims: &[i64]) -> Self {
        let values: Vec<f32> = (0..dims.iter().product()).map(|value: i64| value as f32).collect();
        self.floats(name, dims, &values)
    }

    /// A constant of 64-bit integers of rank 1.
    pub fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.0.initializer.push(ints(name, values));
        self
    }

    /// An initializer of any type.
    pub fn constant(mut self, tensor: TensorProto) -> Self {
        self.0.initializer.push(tensor);
        self
    }

    /// A node; an empty name leaves an input or output out. It is called like its first output.
    pub fn node(mut self, op_type: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut node = new_node(op_type, "", owned(inputs), "");
        (node.name, node.output) = (outputs.first().map(|name| (*name).to_owned()), owned(outputs));
        self.0.node.push(node);
        self
    }

    /// Gives the last node a domain.
    pub fn domain(self, domain: &str) -> Self {
        self.change(|node| node.domain = Some(domain.to_owned()))
    }

    /// Gives the last node an integer attribute.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.change(|node| node.attribute.push(attribute_int(name, value)))
    }

    /// Gives the last node an attribute that is a list of integers.
    pub fn int_list(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, |attribute| attribute.ints = values.to_vec())
    }

    /// Gives the last node a float attribute.
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, |attribute| attribute.f = Some(value))
    }

    /// Gives the last node an attribute that is a list of floats.
    pub fn float_list(self, name: &str, values: &[f32]) -> Self {
        self.attribute(name, |attribute| attribute.floats = values.to_vec())
    }

    /// Gives the last node a text attribute.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, |attribute| {
            (attribute.s, attribute.r#type) = (Some(value.as_bytes().to_vec().into()), Some(attribute_type::STRING));
        })
    }

    /// Gives the last node an attribute that is a tensor.
    pub fn tensor(self, name: &str, tensor: TensorProto) -> Self {
        self.attribute(name, |attribute| attribute.t = tensor.into())
    }

    /// Gives the last node a branch or loop.
    pub fn inner(self, name: &str, graph: GraphBuilder) -> Self {
        self.attribute(name, |attribute| attribute.g = graph.0.into())
    }

    /// The graph as a protobuf message.
    pub fn proto(self) -> GraphProto {
        self.0
    }

    /// The graph with its nodes linked.
    pub fn build(self) -> Graph {
        Graph::new(self.0).expect("a test's graph gives no tensor twice")
    }

    /// A model of it that uses this version of the operators.
    pub fn model(self, opset: i64) -> Model {
        let import = OperatorSetIdProto { version: Some(opset), ..Default::default() };
        let proto = ModelProto { graph: self.0.into(), opset_import: vec![import], ..Default::default() };
        Model::from_proto(proto, Path::new("test.onnx")).expect("a test's graph is one")
    }

    fn attribute(self, name: &str, fill: impl FnOnce(&mut AttributeProto)) -> Self {
        let mut attribute = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
        fill(&mut attribute);
        self.change(|node| node.attribute.push(attribute))
    }

    fn change(mut self, change: impl FnOnce(&mut NodeProto)) -> Self {
        change(self.0.node.last_mut().expect("a node comes before its attributes"));
        self
    }
}

/// An f32 tensor of these dimensions, its values as `raw_data`.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto { raw_data: Some(Bytes::from(bytes)), ..tensor(name, dims, data_type::FLOAT) }
}

/// A tensor of 64-bit integers of rank 1.
pub fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto { int64_data: values.to_vec(), ..tensor(name, &[values.len() as i64], data_type::INT64) }
}

/// A node on a line: `Conv(x, w) -> y`.
pub fn line(node: &NodeProto) -> String {
    let op_type = node.op_type.as_deref().unwrap_or_default();
    format!("{op_type}({}) -> {}", node.input.join(", "), node.output.join(", "))
}

/// Each node on a line.
pub fn lines(graph: &Graph) -> Vec<String> {
    graph.nodes().map(|id| line(graph.node(id))).collect()
}

/// The names of the initializers.
pub fn constants(graph: &Graph) -> Vec<&str> {
    graph.initializers().filter_map(|tensor| tensor.name.as_deref()).collect()
}

fn tensor(name: &str, dims: &[i64], element: i32) -> TensorProto {
    TensorProto { name: Some(name.to_owned()), dims: dims.to_vec(), data_type: Some(element), ..Default::default() }
}

fn info(name: &str, dims: &[i64], element: i32) -> ValueInfoProto {
    let dimension =
        |dim: &i64| Dimension { value: (*dim >= 0).then_some(dimension::Value::DimValue(*dim)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dimension).collect(), ..Default::default() };
    let tensor = type_proto::TensorTypeProto { elem_type: Some(element), shape: shape.into(), ..Default::default() };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(Box::new(tensor))), ..Default::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: kind.into(), ..Default::default() }
}
