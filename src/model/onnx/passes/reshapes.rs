//! Constant shapes for Reshapes that compute theirs.
//!
//! Exporters of models with open lengths write the shape of a Reshape as Shape, Gather and Concat, many nodes that each cost as much
//! as a small product. Where it is the lengths of the input but for numbers and one length more, `0` and `-1` say the same.

use super::{
    pass::{Pass, PassChanges, PassOptions},
    prune::prune,
};
use crate::model::onnx::{Graph, Length, Lengths, Model, NodeId, OnnxError, Use, int_attribute, node_name};

pub(super) const PASS: Pass = Pass { name: "reshapes", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    if options.fold_shapes {
        changes.shapes_folded = fold_shapes(model.graph_mut());
    }
    Ok(())
}

/// Gives every Reshape a constant shape that can have one. The names of the nodes changed.
fn fold_shapes(graph: &mut Graph) -> Vec<String> {
    let lengths = Lengths::of(graph);
    let reshapes = graph.nodes().filter(|node| graph.op(*node) == Some("Reshape"));
    let found: Vec<_> = reshapes.filter_map(|node| Some((node, constant(graph, &lengths, node)?))).collect();
    let (mut names, mut orphans) = (Vec::new(), Vec::new());
    for (node, shape) in found {
        let Some(computed) = graph.input(node, 1) else { continue };
        let name = node_name(graph.node(node));
        let wanted = format!("{name}.shape");
        let shape = graph.add_ints(&wanted, &shape);
        graph.set_input(Use { node, input: 1 }, &shape);
        orphans.push(computed);
        names.push(name);
    }
    prune(graph, orphans);
    names
}

/// What a Reshape that computes its shape could have instead.
fn constant(graph: &Graph, lengths: &Lengths, node: NodeId) -> Option<Vec<i64>> {
    let (input, shape) = (graph.input(node, 0)?, graph.input(node, 1)?);
    if graph.is_constant(shape) || int_attribute(graph.node(node), "allowzero").unwrap_or(0) != 0 {
        return None;
    }
    let (dims, wanted) = (lengths.dims(input)?, lengths.values(shape)?);
    let code = |(axis, length): (usize, &Length)| match length {
        Length::Known(number) => *number,
        length if dims.get(axis) == Some(length) => 0,
        Length::Axis(..) => -1,
    };
    let shape: Vec<i64> = wanted.iter().enumerate().map(code).collect();
    (shape.iter().filter(|&&length| length == -1).count() <= 1).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        constants::integers,
        testing::{GraphBuilder, lines},
    };

    /// A Reshape of `x` to its own lengths at these places, and the numbers behind them.
    fn folded(places: &[&str], numbers: &[i64]) -> Vec<String> {
        let graph = GraphBuilder::new().input("x", &[-1, -1, 8]).ints("0", &[0]).ints("1", &[1]).ints("n", numbers);
        let graph = graph.node("Shape", &["x"], &["s"]);
        let graph = places
            .iter()
            .enumerate()
            .fold(graph, |graph, (number, place)| graph.node("Gather", &["s", place], &[&format!("g{number}")]));
        let parts: Vec<String> = (0..places.len()).map(|number| format!("g{number}")).chain(["n".to_owned()]).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut graph =
            graph.node("Concat", &parts, &["c"]).node("Reshape", &["x", "c"], &["y"]).output("y", &[]).build();
        let changed = fold_shapes(&mut graph);
        let shape = graph.initializers().find(|tensor| tensor.name.as_deref() == Some("y.shape"));
        assert_eq!(changed.is_empty(), shape.is_none());
        shape.map_or_else(|| lines(&graph), |shape| integers(shape).unwrap().iter().map(i64::to_string).collect())
    }

    #[test]
    fn lengths_of_the_input_and_numbers_are_a_constant_shape() {
        assert_eq!(folded(&["0", "1"], &[2, 4]), ["0", "0", "2", "4"]);
        assert_eq!(folded(&["1"], &[-1]).len(), 4, "two lengths that nothing stands for");
        assert_eq!(folded(&["1"], &[16]), ["-1", "16"]);
        assert_eq!(folded(&["0", "0"], &[8]), ["0", "-1", "8"]);
    }

    #[test]
    fn what_computed_the_shape_goes() {
        let graph = GraphBuilder::new().input("x", &[-1, -1, 8]).ints("two", &[2, 4]);
        let graph = graph.ints("from", &[0]).ints("to", &[2]).node("Shape", &["x"], &["s"]);
        let graph = graph.node("Slice", &["s", "from", "to"], &["l"]).node("Concat", &["l", "two"], &["c"]);
        let mut graph = graph.node("Reshape", &["x", "c"], &["y"]).output("y", &[]).build();
        assert_eq!(fold_shapes(&mut graph), ["y"]);
        assert_eq!(lines(&graph), ["Reshape(x, y.shape) -> y"]);
    }
}
