//! [`Kernel`]: what a runtime's integer kernel of an operator takes and gives.

use crate::model::onnx::{Graph, NodeId, attribute, ints_attribute};

/// What a runtime's integer kernel of an operator takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// A layer with a constant weight whose kernel gives codes.
    Layer,
    /// One whose kernel gives floats just as well, so that nothing is rounded that no integer kernel reads.
    FloatLayer,
    /// One whose kernel gives floats too, and computes the float operators behind it on the way: codes there would come between.
    FusedLayer,
    /// One of a constant weight as a `FloatLayer`, and of two tensors in codes around 0 in an attention.
    Product,
    /// An operator of tensors that are all in codes.
    Joins,
    /// One that passes codes on as they are: its output has the scale of its first input.
    Passes,
}

impl Kernel {
    /// Whether it is one of layers with a constant weight.
    pub(super) fn is_layers(self) -> bool {
        matches!(self, Kernel::Layer | Kernel::FloatLayer | Kernel::FusedLayer | Kernel::Product)
    }
}

/// The integer kernels of a runtime, by operator.
pub(super) type Kernels = &'static [(&'static str, Kernel)];

/// The integer kernel of a node; `None` too where it is of a kind that its operator's does not know.
pub(super) fn kernel(kernels: Kernels, graph: &Graph, node: NodeId) -> Option<Kernel> {
    let op = graph.op(node)?;
    let (_, kernel) = kernels.iter().find(|(name, _)| *name == op)?;
    (!is_unusual(graph, node)).then_some(*kernel)
}

/// Whether a node is of a kind that its operator's integer kernel does not know: a pooling with holes, or a Resize whose values
/// may lie beyond those that it reads.
fn is_unusual(graph: &Graph, node: NodeId) -> bool {
    let proto = graph.node(node);
    let is = |name: &str, value: &str| {
        attribute(proto, name).and_then(|found| found.s.as_ref()).is_some_and(|found| **found == *value.as_bytes())
    };
    match graph.op(node) {
        Some("AveragePool") => ints_attribute(proto, "dilations").is_some_and(|dims| dims.iter().any(|&dim| dim != 1)),
        Some("Resize") => is("mode", "cubic") || is("coordinate_transformation_mode", "tf_crop_and_resize"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::placed;
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    fn start() -> GraphBuilder {
        let x = GraphBuilder::new().input("x", &[1, 4, 8, 8]).weight("w", &[4, 4, 1, 1]);
        x.node("Conv", &["x", "w"], &["a"])
    }

    #[test]
    fn a_pooling_with_holes_and_a_cubic_resize_have_no_integer_kernel() {
        let holes = start().node("AveragePool", &["a"], &["p"]).int_list("dilations", &[2, 2]);
        let holes = placed("onnxruntime", holes.node("Conv", &["p", "w"], &["y"]), "int8");
        assert_eq!(holes.reasons, [("p".to_owned(), Reason::NoIntegerKernel)]);
        let beyond = start().node("Resize", &["a", "", "s"], &["r"]).text("mode", "cubic");
        let beyond = placed("onnxruntime", beyond.node("Conv", &["r", "w"], &["y"]), "int8");
        assert_eq!(beyond.behind, ["a -> r.0", "r -> y.0", "x -> a.0"]);
    }
}
