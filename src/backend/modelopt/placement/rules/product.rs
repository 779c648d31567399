//! Products of two tensors that are both computed.

use crate::{backend::modelopt::placement::view::View, spec::Reason};

/// Both inputs of a product.
pub(in crate::backend::modelopt::placement) fn inputs(view: &View<'_>, layer: usize) -> Result<Vec<usize>, Reason> {
    let node = view.node(layer).ok_or(Reason::InSubgraph)?;
    if view.graph.inputs_of(node).count() == 2 { Ok(vec![0, 1]) } else { Err(Reason::ShapeUnsupported) }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::placed;
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    #[test]
    fn both_sides_get_a_pair_and_a_product_of_one_side_gets_none() {
        let graph = GraphBuilder::new().input("a", &[2, 4, 4]).input("b", &[2, 4, 4]);
        let whole = placed("tensorrt", graph.clone().node("MatMul", &["a", "b"], &["y"]), "int8");
        assert_eq!(whole.sites, ["y.0", "y.1"]);
        let half = placed("tensorrt", graph.node("MatMul", &["a", ""], &["y"]), "int8");
        assert_eq!(half.reasons, [("y".to_owned(), Reason::ShapeUnsupported)]);
    }
}
