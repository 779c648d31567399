//! Small facts about nodes and their attributes.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, GraphProto, NodeProto, ValueInfoProto, attribute_type, tensor_shape_proto, type_proto,
};

/// A node's name; one without is named after its operator and first output, which is unique.
pub fn node_name(node: &NodeProto) -> String {
    match node.name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => {
            let op_type = node.op_type.as_deref().unwrap_or_default();
            node.output.first().map_or(op_type.to_owned(), |output| format!("{op_type}:{output}"))
        }
    }
}

/// Whether a domain is that of ONNX's own operators, which has two spellings.
pub(super) fn is_own_domain(domain: Option<&str>) -> bool {
    matches!(domain, None | Some("" | "ai.onnx"))
}

/// The graphs of a node's branches, or of its loop.
pub fn inner_graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_option().into_iter().chain(&attribute.graphs))
}

/// Calls `read` with every tensor that a node reads, those that its branches or loop take from outside included.
pub(super) fn for_each_read(node: &NodeProto, read: &mut impl FnMut(&str)) {
    node.input.iter().filter(|name| !name.is_empty()).for_each(|name| read(name));
    for_each_nested_read(node, read);
}

/// Calls `read` with every tensor that a node's branches or loop take from outside.
pub(super) fn for_each_nested_read(node: &NodeProto, read: &mut dyn FnMut(&str)) {
    for graph in inner_graphs(node) {
        let given: HashSet<&str> = given_without_nodes(graph)
            .chain(graph.node.iter().flat_map(|node| &node.output).map(String::as_str))
            .collect();
        let mut outside = |name: &str| {
            if !name.is_empty() && !given.contains(name) {
                read(name);
            }
        };
        for inner in &graph.node {
            inner.input.iter().for_each(|name| outside(name));
            for_each_nested_read(inner, &mut outside);
        }
        graph.output.iter().filter_map(|output| output.name.as_deref()).for_each(&mut outside);
    }
}

/// The names of a graph's inputs and constants.
pub(super) fn given_without_nodes(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let constants = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.name.as_deref());
    inputs.chain(constants).chain(sparse)
}

/// An axis counted from the front, or from the end where it is negative; `None` where it lies before the first. It may lie beyond
/// the last.
pub(super) fn axis_from_front(axis: i64, rank: usize) -> Option<usize> {
    usize::try_from(if axis < 0 { axis.saturating_add(rank as i64) } else { axis }).ok()
}

/// A float attribute of a node.
pub fn float_attribute(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).and_then(|a| a.f)
}

/// The list of integers that an attribute of a node is.
pub fn ints_attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

/// An attribute of a node.
pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
}

/// An integer attribute of a node.
pub fn int_attribute(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).and_then(|a| a.i)
}

/// A new integer attribute.
pub fn attribute_int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..Default::default()
    }
}

/// An attribute that is a list of integers.
pub fn attribute_ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(attribute_type::INTS),
        ints: values,
        ..Default::default()
    }
}

/// A new node with one output, which it is named after.
pub fn new_node(op_type: &str, domain: &str, inputs: Vec<String>, output: &str) -> NodeProto {
    NodeProto {
        name: Some(format!("{output}/{op_type}")),
        op_type: Some(op_type.to_owned()),
        domain: (!domain.is_empty()).then(|| domain.to_owned()),
        input: inputs,
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// The dimensions that a graph states for a tensor, `None` for one that is open; nothing if it states none.
pub fn dimensions(info: &ValueInfoProto) -> Option<Vec<Option<i64>>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_option()?.value.as_ref()?;
    let dims = tensor.shape.as_option()?.dim.iter().map(|dim| match dim.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(dim)) => Some(dim),
        _ => None,
    });
    Some(dims.collect())
}
