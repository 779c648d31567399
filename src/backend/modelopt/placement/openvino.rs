//! What OpenVINO lowers to integer kernels on a CPU: it takes pairs as fake quantization wherever they stand, and an Add whose
//! output has one loses nothing on the way.
//!
//! It computes activation functions as part of the convolution before them, and the quantization of what they give too, but
//! not where a pair comes between. So these stay in floats, and so does what they alone read.

use super::{
    integer,
    kernel::Kernel,
    row::{Placement, Rules},
};

/// The row of this placement.
pub(super) static OPENVINO: Placement = Placement {
    name: "openvino",
    rules: Rules::Codes(&KERNELS),
    excluded: Some(|view, candidate, dtype| integer::excluded(view, &KERNELS, candidate, dtype)),
    joined: None,
    has_dynamic: false,
    has_tables: true,
    strongly_typed: false,
    flattens: false,
    pads_channels: false,
    keeps_reduced_dims: true,
    in_openvino: true,
    reduce_range: true,
};

/// OpenVINO's integer kernels.
static KERNELS: [(&str, Kernel); 18] = [
    ("Add", Kernel::Joins),
    ("AveragePool", Kernel::Joins),
    ("Concat", Kernel::Joins),
    ("Conv", Kernel::FusedLayer),
    ("Flatten", Kernel::Passes),
    ("Gemm", Kernel::FloatLayer),
    ("GlobalAveragePool", Kernel::Joins),
    ("MatMul", Kernel::Product),
    ("MaxPool", Kernel::Passes),
    ("ReduceMax", Kernel::Passes),
    ("ReduceMin", Kernel::Passes),
    ("Reshape", Kernel::Passes),
    ("Resize", Kernel::Passes),
    ("Slice", Kernel::Passes),
    ("Split", Kernel::Passes),
    ("Squeeze", Kernel::Passes),
    ("Transpose", Kernel::Passes),
    ("Unsqueeze", Kernel::Passes),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{attention, placed};
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    fn start() -> GraphBuilder {
        let x = GraphBuilder::new().input("x", &[1, 4, 8, 8]).weight("w", &[4, 4, 1, 1]).weight("d", &[4, 1, 3, 3]);
        x.node("Conv", &["x", "w"], &["a"])
    }

    fn behind(graph: GraphBuilder) -> Vec<String> {
        placed("openvino", graph, "int8").behind
    }

    #[test]
    fn activation_functions_and_what_they_alone_read_are_in_floats() {
        let silu = start().node("Sigmoid", &["a"], &["s"]).node("Mul", &["a", "s"], &["m"]);
        let silu = silu.node("Conv", &["m", "d"], &["b"]).int("group", 4).node("Transpose", &["b"], &["t"]);
        let silu = silu.node("Erf", &["t"], &["y"]).output("y", &[1, 4, 8, 8]);
        assert_eq!(behind(silu), ["m -> b.0", "x -> a.0"], "a depthwise convolution among them computes in codes");
    }

    #[test]
    fn the_products_of_an_attention_are_in_codes_around_zero_but_for_the_softmax() {
        let found = placed("openvino", attention(64, true), "int8");
        assert_eq!((found.sites.len(), found.behind), (4, vec!["weights -> context.0".to_owned()]));
        let other = GraphBuilder::new().input("x", &[4, 8]).input("v", &[8, 4]).node("MatMul", &["v", "x"], &["y"]);
        assert_eq!(placed("openvino", other, "int8").reasons, [("y".to_owned(), Reason::NoIntegerKernel)]);
    }

    #[test]
    fn what_another_integer_kernel_reads_is_in_codes() {
        let graph = start().node("Relu", &["a"], &["relu"]).node("Conv", &["relu", "w"], &["b"]);
        let added = graph.node("Add", &["b", "relu"], &["add"]).node("Transpose", &["add"], &["t"]);
        let added = added.node("Conv", &["t", "w"], &["c"]).node("Sigmoid", &["c"], &["y"]);
        let expected = ["add -> t.0", "b -> add.0", "relu -> b.0 add.1", "t -> c.0 as add", "x -> a.0"];
        assert_eq!(behind(added), expected);
        let moved = start().node("MaxPool", &["a"], &["pool"]).node("Conv", &["pool", "w"], &["y"]);
        assert_eq!(behind(moved), ["a -> pool.0", "pool -> y.0 as a", "x -> a.0"]);
    }
}
