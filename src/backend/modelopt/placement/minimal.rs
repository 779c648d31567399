//! The inputs of layers with weights, and nothing else.

use super::row::{Placement, Rules};

/// The row of this placement.
pub(super) static MINIMAL: Placement = Placement {
    name: "minimal",
    rules: Rules::Inputs(&[]),
    excluded: None,
    joined: None,
    has_dynamic: false,
    has_tables: false,
    strongly_typed: false,
    flattens: false,
    pads_channels: false,
    keeps_reduced_dims: false,
    in_openvino: false,
    reduce_range: false,
};

#[cfg(test)]
mod tests {
    use super::super::testing::{attention, placed};
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn only_layers_with_weights_get_pairs() {
        let graph = GraphBuilder::new()
            .input("x", &[1, 3, 8, 8])
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["x", "w"], &["conv"])
            .node("Add", &["x", "conv"], &["add"])
            .node("MaxPool", &["add"], &["pool"]);
        assert_eq!(placed("minimal", graph, "int8").sites, ["conv.0"]);
        assert_eq!(placed("minimal", attention(64, false), "int8").sites, Vec::<String>::new());
    }
}
