//! What goes away behind an integer kernel, and where the codes stand then.

use crate::model::onnx::{Graph, NodeId, TensorId, scalar};

/// The tensor that a node gives, behind the Relu or Clip that its codes make superfluous; nothing if that is an output of
/// the graph, or read in a branch.
pub(super) fn behind(graph: &Graph, node: NodeId) -> Option<TensorId> {
    let output = graph.output(node, 0)?;
    let tensor = vanishing(graph, output).and_then(|clip| graph.output(clip, 0)).unwrap_or(output);
    is_inner(graph, tensor).then_some(tensor)
}

/// The Relu or Clip that is all that reads a tensor. A Clip whose bounds have 0 between them: the codes begin at the lower
/// and end at the upper one, since no value beyond them is seen behind it.
fn vanishing(graph: &Graph, tensor: TensorId) -> Option<NodeId> {
    let [only] = graph.uses(tensor) else { return None };
    let alone = graph.reads(tensor) == 1 && only.input == 0;
    let fits = match graph.op(only.node)? {
        "Relu" => true,
        "Clip" => clips_around_zero(graph, only.node),
        _ => false,
    };
    (alone && fits).then_some(only.node)
}

fn clips_around_zero(graph: &Graph, node: NodeId) -> bool {
    let bound = |input: usize, otherwise: f32| match graph.input(node, input) {
        Some(tensor) => scalar(graph, tensor),
        None => Some(otherwise),
    };
    let bounds = bound(1, f32::NEG_INFINITY).zip(bound(2, f32::INFINITY));
    bounds.is_some_and(|(low, high)| low <= 0.0 && high >= 0.0)
}

/// Whether only nodes of the graph itself read a tensor.
pub(super) fn is_inner(graph: &Graph, tensor: TensorId) -> bool {
    let uses = graph.uses(tensor).len();
    uses > 0 && graph.reads(tensor) == uses
}

#[cfg(test)]
mod tests {
    use super::super::testing::placed;
    use crate::model::onnx::testing::GraphBuilder;

    fn start() -> GraphBuilder {
        let x = GraphBuilder::new().input("x", &[1, 4, 8, 8]).weight("w", &[4, 4, 1, 1]);
        x.floats("zero", &[], &[0.0]).floats("one", &[], &[1.0]).floats("six", &[], &[6.0]).node(
            "Conv",
            &["x", "w"],
            &["a"],
        )
    }

    fn behind(graph: GraphBuilder) -> Vec<String> {
        placed("onnxruntime", graph, "int8").behind
    }

    #[test]
    fn a_clip_goes_away_where_zero_is_between_its_bounds() {
        let clipped = |low| start().node("Clip", &["a", low, "six"], &["clip"]).node("Conv", &["clip", "w"], &["b"]);
        assert_eq!(behind(clipped("zero")), ["clip -> b.0", "x -> a.0"]);
        assert_eq!(behind(clipped("one")), ["a -> clip.0", "clip -> b.0", "x -> a.0"]);
        let shared = start().node("Relu", &["a"], &["relu"]).node("Sigmoid", &["a"], &["gate"]);
        assert_eq!(behind(shared)[0], "a -> relu.0 gate.0", "another reader wants what the Relu cuts");
    }
}
