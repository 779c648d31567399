//! Layers with weights that TensorRT would not run faster in low precision. (NVIDIA ModelOpt leaves out the same layers.)

use crate::{
    backend::{graph::inventory::Candidate, modelopt::placement::view::View},
    model::onnx::int_attribute,
    numeric::DType,
    spec::Reason,
};

/// Channels below which a convolution does not fill the tensor cores.
const FEW_CHANNELS: usize = 16;
/// Inputs or outputs below which a matrix does not fill the tensor cores.
const SMALL_MATRIX: usize = 16;
/// Elements of a filter's window above which fp8 has no kernel.
const LARGEST_FILTER: usize = 32;

/// Why a layer is better left alone.
pub(in crate::backend::modelopt::placement) fn excluded(
    view: &View<'_>,
    candidate: &Candidate,
    dtype: DType,
) -> Option<Reason> {
    match view.graph.op(candidate.node) {
        Some("Conv") => convolution(view, candidate, dtype),
        Some("Gemm" | "MatMul") if is_gemv(view, candidate) => Some(Reason::GemvLike),
        Some("Gemm" | "MatMul") => is_small(candidate).then_some(Reason::MatrixTooSmall),
        _ => None,
    }
}

fn convolution(view: &View<'_>, candidate: &Candidate, dtype: DType) -> Option<Reason> {
    let [outputs, inputs, window @ ..] = candidate.shape.dims() else { return None };
    let groups = int_attribute(view.graph.node(candidate.node), "group").unwrap_or(1);
    if !dtype.is_integer() && window.iter().product::<usize>() > LARGEST_FILTER {
        return Some(Reason::FilterTooLarge);
    }
    let (wide, deep) = (*outputs >= FEW_CHANNELS, *inputs >= FEW_CHANNELS);
    let aligned = |channels: usize| channels.is_multiple_of(8);
    let fits = if groups > 1 {
        dtype.is_integer() && aligned(*outputs) && window.iter().all(|&size| size >= 3)
    } else {
        let first = view.graph.input(candidate.node, 0).and_then(|tensor| view.graph.producer(tensor)).is_none();
        let square = window.iter().all(|size| Some(size) == window.first());
        dtype.is_integer() && (aligned(*outputs) || aligned(*inputs)) && (first || wide || deep) && square
    };
    (!(fits || wide && deep)).then_some(Reason::ChannelsTooFew)
}

/// Whether one side of a product is a vector, as far as the graph tells.
fn is_gemv(view: &View<'_>, candidate: &Candidate) -> bool {
    let outputs = candidate.shape.dims().get(candidate.axis).copied().unwrap_or(0);
    let shape = view.graph.output(candidate.node, 0).and_then(|output| view.graph.shape(output));
    outputs == 1 || shape.is_some_and(|shape| shape.len() < 3 && shape.contains(&Some(1)))
}

/// Whether the weight of a product has few inputs or few outputs, whichever axis they are.
fn is_small(candidate: &Candidate) -> bool {
    candidate.shape.dims().iter().any(|&size| size < SMALL_MATRIX)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{placed, placed_by};
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    /// Whether a convolution with such a weight, not the first of its graph, gets a pair.
    fn takes(dims: &[i64], groups: i64, dtype: &str) -> bool {
        let graph = GraphBuilder::new()
            .input("in", &[1, 8, 8, 8])
            .weight("w", dims)
            .node("Sigmoid", &["in"], &["x"])
            .node("Conv", &["x", "w"], &["y"])
            .int("group", groups);
        placed("tensorrt", graph, dtype).sites == ["y.0"]
    }

    #[test]
    fn convolutions_that_do_not_fill_the_tensor_cores_are_left_alone() {
        assert!(takes(&[16, 16, 3, 3], 1, "int8") && takes(&[32, 8, 3, 3], 1, "int8"));
        assert!(!takes(&[8, 8, 3, 3], 1, "int8"), "few channels");
        assert!(!takes(&[32, 8, 1, 3], 1, "int8"), "neither deep nor square");
        assert!(takes(&[8, 1, 3, 3], 8, "int8") && !takes(&[8, 1, 1, 1], 8, "int8"), "depthwise");
    }

    #[test]
    fn fp8_has_kernels_for_wide_and_deep_convolutions_of_small_windows() {
        assert!(takes(&[16, 16, 3, 3], 1, "fp8_e4m3fn"));
        assert!(!takes(&[32, 8, 3, 3], 1, "fp8_e4m3fn") && !takes(&[16, 16, 7, 7], 1, "fp8_e4m3fn"));
    }

    /// A product with such a weight, of so many rows.
    fn product(op: &str, rows: i64, weight: [i64; 2]) -> GraphBuilder {
        let [inputs, outputs] = weight;
        GraphBuilder::new().input("x", &[rows, inputs]).weight("w", &weight).output("y", &[rows, outputs]).node(
            op,
            &["x", "w"],
            &["y"],
        )
    }

    #[test]
    fn products_with_a_vector_are_left_alone() {
        let takes = |outputs, rows| placed("tensorrt", product("MatMul", rows, [16, outputs]), "int8").sites == ["y.0"];
        assert!(takes(16, 4) && takes(16, -1));
        assert!(!takes(1, 4) && !takes(16, 1));
    }

    #[test]
    fn products_of_few_inputs_or_outputs_are_left_alone() {
        for (op, dtype) in [("MatMul", "int8"), ("Gemm", "int8"), ("MatMul", "fp8_e4m3fn")] {
            let takes = |weight| placed("tensorrt", product(op, 4, weight), dtype).sites == ["y.0"];
            assert!(takes([16, 16]), "{op} in {dtype}");
            assert!(!takes([15, 16]) && !takes([16, 15]), "{op} in {dtype}");
        }
    }

    #[test]
    fn a_small_product_that_a_rule_names_is_quantized() {
        let named = |pattern| placed_by("tensorrt", product("MatMul", 4, [8, 8]), "int8", pattern);
        assert_eq!(named("y").sites, ["y.0"]);
        let bare = named("*");
        assert_eq!((bare.sites.len(), bare.reasons), (0, vec![("y".to_owned(), Reason::MatrixTooSmall)]));
    }
}
