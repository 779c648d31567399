//! Folding what a graph does to its constants, so that a weight is an initializer right at the node that computes with it.
//!
//! Exporters leave a Transpose, a Reshape or a Cast between a weight and its consumer, or keep weights in `Constant`
//! nodes. Only data movement is folded, and casts to a wider float: nothing that rounds.

mod cast;
mod dims;
mod expand;
mod lift;
mod operands;
mod reshape;
mod transpose;

use std::collections::BTreeSet;

use self::operands::{Fold, Operands};
use super::{
    pass::{Pass, PassChanges, PassOptions},
    prune::prune,
};
use crate::model::onnx::{Graph, Model, OnnxError, node_name, op::ResultType, proto::TensorProto};

pub(super) const PASS: Pass = Pass { name: "constants", run };

/// What is folded, sorted by operator.
static FOLDS: [(&str, Fold); 10] = [
    ("Cast", cast::cast),
    ("CastLike", cast::cast_like),
    ("Expand", expand::expand),
    ("Flatten", reshape::flatten),
    ("Identity", reshape::identity),
    ("Reshape", reshape::reshape),
    ("Shape", dims::shape),
    ("Squeeze", dims::squeeze),
    ("Transpose", transpose::transpose),
    ("Unsqueeze", dims::unsqueeze),
];

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    if options.fold_constants {
        changes.constants_folded = fold_constants(model.graph_mut());
    }
    Ok(())
}

/// Replaces `Constant` nodes of the main graph by initializers, then folds nodes that move constants about. The names of
/// the nodes folded.
fn fold_constants(graph: &mut Graph) -> Vec<String> {
    lift::lift_constants(graph);
    let mut types = graph.declared_types();
    let (mut folded, mut orphans) = (BTreeSet::new(), Vec::new());
    for id in graph.nodes().collect::<Vec<_>>() {
        let Some(output) = graph.output(id, 0).map(|output| graph.name(output).to_owned()) else { continue };
        let fold = FOLDS.iter().find(|(op_type, _)| graph.op(id) == Some(op_type));
        let tensor = fold.filter(|_| graph.outputs_of(id).count() == 1);
        if let Some(tensor) = tensor.and_then(|(_, fold)| fold(&Operands::new(graph, id, &types))) {
            graph.add_initializer(TensorProto { name: Some(output), ..tensor });
            orphans.extend(graph.inputs_of(id).map(|(_, tensor)| tensor));
            folded.insert(id);
        } else if let ResultType::Like(input) = graph.facts(id).result {
            let input = graph.input(id, input).and_then(|input| types.get(graph.name(input)).copied());
            types.extend(input.map(|element| (output, element)));
        }
    }
    let names = folded.iter().map(|id| node_name(graph.node(*id))).collect();
    graph.remove(&folded);
    prune(graph, orphans);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    #[test]
    fn a_chain_of_moves_becomes_one_constant_and_what_only_it_read_goes() {
        let mut graph = GraphBuilder::new()
            .input("x", &[1, 2])
            .weight("w", &[6])
            .ints("shape", &[3, 2])
            .node("Reshape", &["w", "shape"], &["r"])
            .node("Transpose", &["r"], &["t"])
            .node("MatMul", &["x", "t"], &["y"])
            .output("y", &[1, 3])
            .build();
        assert_eq!(fold_constants(&mut graph), ["r", "t"]);
        assert_eq!(lines(&graph), ["MatMul(x, t) -> y"]);
        assert_eq!(constants(&graph), ["t"]);
        assert_eq!(graph.initializers().next().unwrap().dims, [2, 3]);
    }

    #[test]
    fn a_constant_that_something_else_reads_stays() {
        let mut graph = GraphBuilder::new()
            .weight("w", &[2, 2])
            .node("Transpose", &["w"], &["t"])
            .node("MatMul", &["w", "t"], &["y"])
            .output("y", &[2, 2])
            .build();
        fold_constants(&mut graph);
        assert_eq!(constants(&graph), ["w", "t"]);
    }

    #[test]
    fn a_fold_that_is_an_output_of_the_graph_is_a_constant_of_that_name() {
        let mut graph =
            GraphBuilder::new().weight("w", &[2]).node("Identity", &["w"], &["y"]).output("y", &[2]).build();
        assert_eq!(fold_constants(&mut graph), ["y"]);
        assert_eq!((lines(&graph).len(), constants(&graph)), (0, vec!["y"]));
    }

    #[test]
    fn what_is_computed_and_what_other_domains_do_is_left_alone() {
        let mut graph = GraphBuilder::new()
            .input("x", &[2, 2])
            .weight("w", &[2, 2])
            .node("Transpose", &["x"], &["a"])
            .node("Transpose", &["w"], &["b"])
            .domain("com.example")
            .node("Add", &["w", "w"], &["c"])
            .build();
        assert!(fold_constants(&mut graph).is_empty());
        assert_eq!(lines(&graph).len(), 3);
    }

    #[test]
    fn the_type_of_what_is_computed_is_carried_along_for_cast_like() {
        let graph = |op: &str| {
            let x = GraphBuilder::new().input("x", &[2]).weight("w", &[2]).node(op, &["x"], &["r"]);
            x.node("CastLike", &["w", "r"], &["y"]).output("y", &[2]).build()
        };
        assert_eq!(fold_constants(&mut graph("Relu")), ["y"]);
        assert!(fold_constants(&mut graph("Shape")).is_empty());
    }
}
