//! What TensorRT fuses into low precision kernels, by the same rules as NVIDIA ModelOpt's.

use super::{
    row::{Placement, Rules},
    rules::{attention, concat, exclusions, pooling, residual},
};

/// The row of this placement.
pub(in crate::backend::modelopt) static TENSORRT: Placement = Placement {
    name: "tensorrt",
    rules: Rules::Inputs(&[
        ("Add", residual::inputs),
        ("AveragePool", pooling::inputs),
        ("GlobalAveragePool", pooling::inputs),
        ("MatMul", attention::inputs),
        ("MaxPool", pooling::inputs),
    ]),
    excluded: Some(exclusions::excluded),
    joined: Some(concat::joined),
    has_dynamic: false,
    has_tables: false,
    strongly_typed: true,
    flattens: false,
    pads_channels: false,
    keeps_reduced_dims: false,
    in_openvino: false,
    reduce_range: false,
};

#[cfg(test)]
mod tests {
    use super::super::testing::placed;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn layers_with_weights_the_shortcut_and_the_pooling_behind_get_pairs() {
        let graph = GraphBuilder::new()
            .input("x", &[1, 16, 8, 8])
            .weight("w", &[16, 16, 3, 3])
            .node("Conv", &["x", "w"], &["conv"])
            .node("Add", &["relu", "conv"], &["add"])
            .node("MaxPool", &["add"], &["pool"])
            .node("Conv", &["pool", "w"], &["last"]);
        let graph = graph.clone().node("Relu", &["x"], &["relu"]);
        let found = placed("tensorrt", graph, "int8");
        assert_eq!(found.sites, ["conv.0", "add.0", "pool.0", "last.0"]);
    }
}
