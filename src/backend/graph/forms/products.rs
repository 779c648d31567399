//! The products that read a constant, for forms that take their place.

use std::collections::BTreeSet;

use crate::model::onnx::{Graph, NodeId, float_attribute, int_attribute, new_node};

/// What reads a constant, if products alone do.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) products: Vec<NodeId>,
    /// Between the constant and products.
    pub(super) transposes: BTreeSet<NodeId>,
}

/// The products that read a constant as their second operand; `None` if anything else reads it, be it only its shape.
pub(super) fn readers(graph: &Graph, constant: &str) -> Option<Readers> {
    let mut readers = Readers::default();
    let mut pending = vec![graph.tensor(constant)?];
    while let Some(tensor) = pending.pop() {
        if graph.reads(tensor) != graph.uses(tensor).len() {
            return None;
        }
        for one in graph.uses(tensor) {
            if graph.op(one.node) == Some("Transpose") {
                readers.transposes.insert(one.node).then(|| pending.extend(graph.outputs_of(one.node)));
            } else if one.input == 1 && is_plain_product(graph, one.node) {
                readers.products.push(one.node);
            } else {
                return None;
            }
        }
    }
    Some(readers)
}

/// Whether a node gives the product of its first two inputs, and at the most adds a third.
fn is_plain_product(graph: &Graph, node: NodeId) -> bool {
    let proto = graph.node(node);
    let factor = |name: &str| float_attribute(proto, name).unwrap_or(1.0);
    match graph.op(node) {
        Some("MatMul") => true,
        Some("Gemm") => {
            factor("alpha") == 1.0 && factor("beta") == 1.0 && int_attribute(proto, "transA").unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The bias of a Gemm becomes an Add: products of codes add none.
pub(super) fn add_bias_behind(graph: &mut Graph, product: NodeId) {
    let Some(bias) = graph.input(product, 2).map(|bias| graph.name(bias).to_owned()) else { return };
    let Some(output) = graph.output(product, 0).map(|output| graph.name(output).to_owned()) else { return };
    let unbiased = graph.claim(&format!("{output}.product"));
    graph.update(product, |proto| proto.output = vec![unbiased.clone()]);
    let position = graph.position(product) + 1;
    graph.insert(position, vec![new_node("Add", "", vec![unbiased, bias], &output)]);
}
