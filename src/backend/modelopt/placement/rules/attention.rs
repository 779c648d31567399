//! Products of two tensors that are both computed, as in an attention.
//!
//! TensorRT fuses `Softmax(Q·Kᵀ)·V` in int8 up to a number of positions, and not where a mask that is computed is added in
//! between.

use super::product;
use crate::{
    backend::modelopt::placement::view::View,
    model::onnx::{Graph, NodeId},
    numeric::DType,
    spec::Reason,
};

/// The most positions that TensorRT fuses in int8.
const LONGEST: i64 = 512;

/// Both inputs of a product, unless it is part of an attention that is not fused.
pub(in crate::backend::modelopt::placement) fn inputs(view: &View<'_>, layer: usize) -> Result<Vec<usize>, Reason> {
    let both = product::inputs(view, layer)?;
    let node = view.node(layer).ok_or(Reason::InSubgraph)?;
    let Some(masked) = forwards(view.graph, node).or_else(|| backwards(view.graph, node)) else { return Ok(both) };
    if masked {
        return Err(Reason::AttentionMasked);
    }
    let last = |tensor| view.graph.shape(tensor)?.last().copied().flatten();
    let positions = view.graph.inputs_of(node).filter_map(|(_, tensor)| last(tensor)).max();
    let int8 = view.activations(layer) == Some(DType::Int8);
    if int8 && positions.is_some_and(|positions| positions > LONGEST) {
        return Err(Reason::AttentionTooLong);
    }
    Ok(both)
}

/// Whether a product is one of an attention's two.
pub(in crate::backend::modelopt::placement) fn is_product(graph: &Graph, node: NodeId) -> bool {
    forwards(graph, node).or_else(|| backwards(graph, node)).is_some()
}

/// Whether a node adds or chooses by a mask that is computed.
fn masks(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), Some("Add" | "Where")) && graph.variable_inputs(node).len() > 1
}

/// Whether there is a mask from the first product to the Softmax; `None` if a node is no first product of an attention.
fn forwards(graph: &Graph, mut node: NodeId) -> Option<bool> {
    let mut masked = false;
    // A graph without circles ends.
    for _ in graph.nodes() {
        node = graph.consumers(node).next()?;
        if graph.op(node) == Some("Softmax") {
            return Some(masked);
        }
        if !graph.facts(node).before_softmax {
            return None;
        }
        masked |= masks(graph, node);
    }
    None
}

/// The same from the second product back to the first.
fn backwards(graph: &Graph, node: NodeId) -> Option<bool> {
    let mut here = graph.producer_through_copies(graph.input(node, 0)?)?;
    if graph.op(here) != Some("Softmax") {
        return None;
    }
    let mut masked = false;
    for _ in graph.nodes() {
        let inputs = graph.variable_inputs(here);
        here = inputs.iter().find_map(|(_, tensor)| graph.producer(*tensor))?;
        if graph.op(here) == Some("MatMul") {
            return Some(masked);
        }
        if !graph.facts(here).before_softmax {
            return None;
        }
        masked |= masks(graph, here);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{attention, placed};
    use crate::spec::Reason;

    fn of_both(reason: Reason) -> [(String, Reason); 2] {
        ["scores", "context"].map(|name| (name.to_owned(), reason))
    }

    #[test]
    fn an_attention_without_a_mask_gets_all_four_pairs_up_to_512_positions() {
        let found = placed("tensorrt", attention(512, false), "int8");
        assert_eq!(found.sites, ["scores.0", "scores.1", "context.0", "context.1"]);
        assert_eq!(placed("tensorrt", attention(513, false), "int8").reasons, of_both(Reason::AttentionTooLong));
        assert_eq!(placed("tensorrt", attention(513, false), "fp8_e4m3fn").reasons, []);
    }

    #[test]
    fn a_mask_that_is_computed_leaves_both_products_native() {
        let mut found = placed("tensorrt", attention(64, true), "int8").reasons;
        found.retain(|(name, _)| name != "shown"); // the mask's own addition, which is not residual
        assert_eq!(found, of_both(Reason::AttentionMasked));
    }
}
