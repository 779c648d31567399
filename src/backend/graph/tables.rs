//! Embedding tables: constants whose rows a `Gather` picks.

use super::inventory::{Candidate, Inventory};
use crate::{
    model::onnx::{Constant, Graph, NodeId, OnnxError, constant, int_attribute},
    numeric::FloatFormat,
    spec::{Reason, Support},
};

/// The least width of a row that a bare `*` takes: of narrower ones, which are coordinates and biases of positions more often
/// than embeddings, the scales take what the codes save.
const LEAST_WIDTH: usize = 16;

/// Whether a layer picks rows of its constant.
pub(in crate::backend) fn is_table(graph: &Graph, candidate: &Candidate) -> bool {
    graph.op(candidate.node) == Some("Gather")
}

/// Whether a node picks rows of the tensor that is its first input.
pub(super) fn picks_rows(graph: &Graph, node: NodeId) -> bool {
    let along_rows = matches!(int_attribute(graph.node(node), "axis"), None | Some(0 | -2));
    let is_whole = graph.input(node, 1).is_some() && graph.output(node, 0).is_some();
    graph.op(node) == Some("Gather") && along_rows && is_whole
}

/// Makes each node that picks rows of a constant matrix a layer with a weight.
pub(in crate::backend) fn add_tables(graph: &Graph, inventory: &mut Inventory) -> Result<(), OnnxError> {
    let Inventory { layers, candidates, nodes } = inventory;
    for ((layer, candidate), node) in layers.iter_mut().zip(candidates).zip(nodes) {
        let Some((node, table)) = node.map(|node| table(graph, node)).transpose()?.flatten() else { continue };
        let [rows, width] = *table.shape.dims() else { continue };
        if rows * width == 0 {
            continue;
        }
        layer.support = if width < LEAST_WIDTH { Support::IfNamed(Reason::EmbeddingNotNamed) } else { Support::Yes };
        layer.classes.push("Embedding".to_owned());
        layer.aliases.extend(table.source.strip_suffix(".weight").map(str::to_owned));
        layer.aliases.push(table.source.clone());
        *candidate = Some(Candidate {
            node,
            weight_input: 0,
            axis: 0,
            source: table.source,
            transposed: false,
            format: table.format,
            shape: table.shape,
        });
    }
    Ok(())
}

/// The constant matrix that a node picks rows of. What is in bf16 has no products on CPUs, and stays as it is.
fn table(graph: &Graph, node: NodeId) -> Result<Option<(NodeId, Constant<'_>)>, OnnxError> {
    let Some(data) = graph.input(node, 0).filter(|_| picks_rows(graph, node)) else { return Ok(None) };
    let table = constant(graph, data)?.filter(|table| !table.transposed && table.format != FloatFormat::Bf16);
    Ok(table.map(|table| (node, table)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::graph::inventory, model::onnx::testing::GraphBuilder};

    /// What becomes of a Gather of rows of a table with this shape.
    fn support(dims: &[i64], axis: i64) -> (Support, bool) {
        let graph = GraphBuilder::new()
            .weight("embed.weight", dims)
            .node("Gather", &["embed.weight", "ids"], &["rows"])
            .int("axis", axis)
            .build();
        let mut inventory = inventory::inventory(&graph, &[FloatFormat::F32], &[]).unwrap();
        add_tables(&graph, &mut inventory).unwrap();
        (inventory.layers[0].support, inventory.candidates[0].is_some())
    }

    #[test]
    fn rows_of_a_constant_matrix_are_those_of_a_table() {
        assert_eq!(support(&[4, 16], 0), (Support::Yes, true));
        assert_eq!(support(&[4, 16], -2), (Support::Yes, true));
        let other = (Support::No(Reason::OpUnsupported), false);
        for (dims, axis) in [(&[4, 16][..], 1), (&[64], 0), (&[2, 4, 16], 0), (&[0, 16], 0)] {
            assert_eq!(support(dims, axis), other, "{dims:?} along {axis}");
        }
    }

    #[test]
    fn a_node_without_indices_picks_nothing() {
        let graph = GraphBuilder::new().weight("w", &[4, 16]).node("Gather", &["w"], &["y"]).build();
        assert!(!picks_rows(&graph, graph.node_at(0).unwrap()));
    }

    #[test]
    fn narrow_rows_are_to_be_named() {
        assert_eq!(support(&[4, 15], 0), (Support::IfNamed(Reason::EmbeddingNotNamed), true));
    }

    #[test]
    fn a_table_is_called_like_its_module_and_class() {
        let graph = GraphBuilder::new().weight("e.weight", &[4, 16]).node("Gather", &["e.weight", "i"], &["y"]).build();
        let mut inventory = inventory::inventory(&graph, &[FloatFormat::F32], &[]).unwrap();
        add_tables(&graph, &mut inventory).unwrap();
        let layer = &inventory.layers[0];
        assert_eq!(
            (&layer.classes[..], &layer.aliases[1..]),
            (&["Gather", "Embedding"].map(str::to_owned)[..], &["e", "e.weight"].map(str::to_owned)[..])
        );
    }
}
