//! Carrying a model from f32 to f16: constants and what is computed from them, its inputs and outputs kept as they are.
//!
//! Operators that have no f16 form in ONNX, and those whose values f16 does not hold, stay in f32, between casts. Types follow from the constants, the inputs and
//! what the graph says of its tensors, and are carried along the nodes.

mod conversion;
mod nodes;
mod values;

use std::collections::BTreeSet;

use self::conversion::Conversion;
use super::pass::{Pass, PassChanges, PassOptions};
use crate::model::onnx::{
    Graph, Model, OnnxError, TensorId, constant, inner_graphs, node_name,
    proto::{NodeProto, data_type, type_proto},
};
use crate::numeric::FloatFormat;

pub(super) const PASS: Pass = Pass { name: "float16", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    if options.float16 {
        to_float16(model.graph_mut(), &options.beyond_float16, changes)?;
    }
    Ok(())
}

/// Carries a graph to f16, save what gives or reads the tensors in `beyond`. An error names a node with a graph of its own, or
/// of a domain that is not ONNX's.
fn to_float16(graph: &mut Graph, beyond: &BTreeSet<String>, changes: &mut PassChanges) -> Result<(), OnnxError> {
    for id in graph.nodes() {
        let node = graph.node(id);
        let reason = match (inner_graphs(node).next(), graph.op(id)) {
            (Some(_), _) => "it has a graph of its own",
            (_, None) => "its operator is not ONNX's",
            _ => continue,
        };
        let op_type = node.op_type.clone().unwrap_or_default();
        return Err(OnnxError::Float16 { node: node_name(node), op_type, reason });
    }
    let (mut proto, declared) = (graph.to_proto(), graph.declared_types());
    let beyond = &(beyond | &vanishing(graph));
    let mut conversion = Conversion::new(graph.names().clone(), beyond);
    conversion.inputs(&proto);
    proto.node.clear();
    // What is known of types is carried along from producers to readers, and a file may have them in any order.
    let nodes: Vec<NodeProto> = graph.producers_first().into_iter().map(|id| graph.node(id).clone()).collect();
    conversion.constants(&mut proto, &nodes);
    nodes.into_iter().for_each(|node| conversion.node(node, &declared));
    conversion.outputs(&mut proto);
    for info in &mut proto.value_info {
        if info.name.as_ref().is_some_and(|name| conversion.floats.contains(name))
            && let Some(type_proto::Value::TensorType(tensor)) =
                info.r#type.as_option_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.elem_type = Some(data_type::FLOAT16);
        }
    }
    changes.stays_f32 = conversion.stays_f32;
    changes.beyond_float16 = conversion.kept_by_range;
    changes.clipped_to_float16 = conversion.clipped;
    changes.float_tensors = conversion.activations;
    proto.node = conversion.nodes;
    *graph = Graph::new(proto)?;
    Ok(())
}

/// Constants that f16 turns to 0 or all but, such as the ε that keeps a division from one by 0, and what nodes make of them.
fn vanishing(graph: &Graph) -> BTreeSet<String> {
    // Sixteen steps of f16's smallest numbers.
    const LEAST: f32 = 9.536_743e-7;
    let mut found = BTreeSet::new();
    for tensor in graph.initializers().filter_map(|tensor| graph.tensor(tensor.name.as_deref()?)) {
        if constant_amax(graph, tensor).is_some_and(|amax| amax > 0.0 && amax < LEAST) {
            found.insert(graph.name(tensor).to_owned());
            let made = graph.readers(tensor).flat_map(|node| graph.outputs_of(node));
            found.extend(made.map(|tensor| graph.name(tensor).to_owned()));
        }
    }
    found
}

/// The largest magnitude of a constant of f32.
fn constant_amax(graph: &Graph, tensor: TensorId) -> Option<f32> {
    let constant = constant(graph, tensor).ok()??;
    let values = constant.view().filter(|_| constant.format == FloatFormat::F32)?;
    values.bytes().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes).abs()).reduce(f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        constant_value,
        testing::{GraphBuilder, constants, floats, lines},
    };

    /// Nodes that stay in f32, and constants that were clipped.
    type Notes = (Vec<(String, String)>, Vec<String>);

    fn carried(builder: GraphBuilder) -> (Graph, Notes) {
        let (graph, changes) = carried_but(builder, &[]);
        (graph, (changes.stays_f32, changes.clipped_to_float16))
    }

    /// Carries a graph with tensors whose values f16 does not hold.
    fn carried_but(builder: GraphBuilder, beyond: &[&str]) -> (Graph, PassChanges) {
        let (mut graph, mut changes) = (builder.build(), PassChanges::default());
        let beyond = beyond.iter().map(|&name| name.to_owned()).collect();
        to_float16(&mut graph, &beyond, &mut changes).unwrap();
        (graph, changes)
    }

    fn element(graph: &Graph, name: &str) -> Option<i32> {
        graph.initializer(graph.tensor(name)?)?.data_type
    }

    #[test]
    fn inputs_and_outputs_stay_f32_and_what_is_between_is_f16() {
        let builder = GraphBuilder::new()
            .input("x", &[1, 2])
            .weight("w", &[2, 2])
            .node("MatMul", &["x", "w"], &["m"])
            .node("Relu", &["m"], &["y"])
            .value("m", &[1, 2])
            .output("y", &[1, 2]);
        let (graph, notes) = carried(builder);
        assert_eq!(
            lines(&graph),
            ["Cast(x) -> x.half", "MatMul(x.half, w) -> m", "Relu(m) -> y.half", "Cast(y.half) -> y"]
        );
        assert_eq!(element(&graph, "w"), Some(data_type::FLOAT16));
        assert_eq!(graph.declared_types()["m"], data_type::FLOAT16);
        assert_eq!(notes, Notes::default());
    }

    #[test]
    fn an_operator_without_an_f16_form_stands_between_casts() {
        let builder = GraphBuilder::new()
            .input("x", &[1, 2])
            .floats("limit", &[], &[4.0])
            .floats("step", &[], &[1.0])
            .node("Range", &["x", "limit", "step"], &["r"])
            .node("Neg", &["r"], &["y"])
            .output("y", &[1]);
        let (graph, (stays, _)) = carried(builder);
        assert_eq!(stays, [("r".to_owned(), "Range".to_owned())]);
        let expected = [
            "Cast(x) -> x.half",
            "Range(x, limit, step) -> r",
            "Cast(r) -> r.half",
            "Neg(r.half) -> y.half",
            "Cast(y.half) -> y",
        ];
        assert_eq!(lines(&graph), expected);
        assert_eq!(element(&graph, "limit"), Some(data_type::FLOAT));
    }

    #[test]
    fn an_epsilon_that_f16_turns_to_zero_keeps_what_reads_it_and_the_next_node_in_f32() {
        let with = |epsilon| {
            let builder = GraphBuilder::new().input("x", &[2]).floats("e", &[], &[epsilon]);
            let builder = builder.node("Add", &["x", "e"], &["a"]).node("Sqrt", &["a"], &["s"]);
            carried(builder.node("Div", &["x", "s"], &["y"]).output("y", &[2])).1.0
        };
        let kept = |name: &str, op: &str| (name.to_owned(), op.to_owned());
        assert_eq!(with(1e-12), [kept("a", "Add"), kept("s", "Sqrt")]);
        assert_eq!(with(1e-5), []);
        assert_eq!(with(0.0), []);
    }

    #[test]
    fn between_nodes_that_stay_in_f32_nothing_is_cast() {
        let builder = GraphBuilder::new()
            .input("x", &[2])
            .floats("up", &[], &[1e6])
            .node("Mul", &["x", "up"], &["big"])
            .node("Relu", &["big"], &["loud"])
            .node("Div", &["loud", "up"], &["small"])
            .node("Neg", &["small"], &["y"])
            .output("loud", &[2])
            .output("y", &[2]);
        let (graph, changes) = carried_but(builder.clone(), &["big", "loud"]);
        let expected = [
            "Cast(x) -> x.half",
            "Mul(x, up) -> big",
            "Relu(big) -> loud",
            "Div(loud, up) -> small",
            "Cast(small) -> small.half",
            "Neg(small.half) -> y.half",
            "Cast(y.half) -> y",
        ];
        assert_eq!(lines(&graph), expected);
        assert_eq!((element(&graph, "up"), &changes.clipped_to_float16), (Some(data_type::FLOAT), &vec![]));
        assert_eq!(changes.beyond_float16, ["big", "loud", "small"]);
        let (_, all) = carried_but(builder, &[]);
        let floats = ["big", "loud", "small", "x", "y"].map(str::to_owned);
        assert_eq!((all.float_tensors, all.beyond_float16), (floats.into(), vec![]));
    }

    #[test]
    fn of_a_node_that_stays_in_f32_only_what_is_float_is_cast() {
        let builder = GraphBuilder::new()
            .ints("n", &[4])
            .ints("k", &[1])
            .node("Cast", &["n"], &["big"])
            .int("to", i64::from(data_type::FLOAT))
            .node("TopK", &["big", "k"], &["v", "i"])
            .node("Gather", &["v", "i"], &["g"])
            .node("ConstantOfShape", &["n"], &["c"])
            .node("Add", &["g", "c"], &["y"])
            .output("y", &[1]);
        let (graph, _) = carried_but(builder, &["big", "c"]);
        let expected = [
            "Cast(n) -> big",
            "TopK(big, k) -> v, i",
            "ConstantOfShape(n) -> c",
            "Cast(v) -> v.half",
            "Gather(v.half, i) -> g",
            "Cast(g) -> g.single",
            "Add(g.single, c) -> y",
        ];
        let mut found = lines(&graph);
        found.sort_by_key(|line| expected.iter().position(|expected| expected == line));
        assert_eq!(found, expected);
    }

    #[test]
    fn samples_of_a_distribution_are_numbers_and_no_floats() {
        let builder = GraphBuilder::new().input("x", &[1, 2]).node("Multinomial", &["x"], &["n"]).output("n", &[1]);
        assert_eq!(lines(&carried(builder).0), ["Cast(x) -> x.half", "Multinomial(x) -> n"]);
    }

    #[test]
    fn a_constant_that_one_node_wants_in_f32_has_a_twin_for_the_others() {
        let builder = GraphBuilder::new()
            .input("x", &[1, 1, 2, 2])
            .floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])
            .node("Resize", &["x", "", "s"], &["r"])
            .node("Mul", &["r", "s"], &["y"])
            .output("y", &[1]);
        let (graph, _) = carried(builder);
        assert_eq!(lines(&graph)[1..3], ["Resize(x.half, , s) -> r", "Mul(r, s.half) -> y.half"]);
        assert_eq!(constants(&graph), ["s.half", "s"]);
        assert_eq!(element(&graph, "s.half"), Some(data_type::FLOAT16));
    }

    #[test]
    fn values_beyond_the_range_become_the_largest_and_are_told_of() {
        let builder = GraphBuilder::new()
            .input("x", &[2])
            .floats("w", &[2], &[1e9, 1.0])
            .node("Add", &["x", "w"], &["y"])
            .output("y", &[2]);
        let (graph, (_, clipped)) = carried(builder);
        assert_eq!(clipped, ["w"]);
        let raw = graph.initializers().next().and_then(|tensor| tensor.raw_data.clone()).unwrap();
        assert_eq!(raw[..], [0xff, 0x7b, 0x00, 0x3c]);
    }

    #[test]
    fn casts_and_constants_of_a_shape_follow() {
        let builder = GraphBuilder::new()
            .ints("s", &[2])
            .node("ConstantOfShape", &["s"], &["c"])
            .node("Cast", &["s"], &["f"])
            .int("to", i64::from(data_type::FLOAT))
            .node("Add", &["c", "f"], &["y"])
            .node("Cast", &["y"], &["i"])
            .int("to", i64::from(data_type::INT64))
            .output("i", &[2]);
        let (graph, _) = carried(builder);
        assert_eq!(lines(&graph).len(), 4);
        let to: Vec<_> = graph.nodes().map(|id| crate::model::onnx::int_attribute(graph.node(id), "to")).collect();
        assert_eq!(to, [None, Some(10), None, Some(7)]);
    }

    #[test]
    fn readers_may_stand_before_their_producers() {
        let builder = GraphBuilder::new()
            .input("x", &[2])
            .floats("w", &[2], &[1.0, 2.0])
            .node("Add", &["r", "w"], &["y"])
            .node("Relu", &["m"], &["r"])
            .node("Mul", &["x", "w"], &["m"])
            .output("y", &[2]);
        let (graph, _) = carried(builder);
        let expected =
            ["Cast(x) -> x.half", "Mul(x.half, w) -> m", "Relu(m) -> r", "Add(r, w) -> y.half", "Cast(y.half) -> y"];
        assert_eq!(lines(&graph), expected);
    }

    #[test]
    fn constant_nodes_that_are_not_folded_follow() {
        let with = |constant: GraphBuilder| {
            let builder = constant.node("Add", &["x", "c"], &["y"]).output("y", &[2]);
            let (graph, (_, clipped)) = carried(builder);
            let value = graph.nodes().find(|&id| graph.op(id) == Some("Constant")).map(|id| graph.node(id)).unwrap();
            (constant_value(&value.attribute[0]).unwrap().data_type, clipped, lines(&graph).last().cloned())
        };
        let constant = || GraphBuilder::new().input("x", &[2]).node("Constant", &[], &["c"]);
        let float16 = Some(data_type::FLOAT16);
        let last = Some("Cast(y.half) -> y".to_owned());
        for constant in [
            constant().tensor("value", floats("", &[2], &[1.0, 2.0])),
            constant().float("value_float", 1.5),
            constant().float_list("value_floats", &[1.0, 2.0]),
        ] {
            assert_eq!(with(constant), (float16, vec![], last.clone()));
        }
        assert_eq!(with(constant().float("value_float", 1e9)).1, ["c"]);
        assert_eq!(with(constant().int("value_int", 7)).0, Some(data_type::INT64));
    }

    #[test]
    fn the_second_result_of_a_top_k_and_comparisons_are_no_floats() {
        let builder = GraphBuilder::new()
            .input("x", &[4])
            .ints("k", &[1])
            .node("TopK", &["x", "k"], &["v", "i"])
            .node("Greater", &["v", "x"], &["b"])
            .output("v", &[1])
            .output("i", &[1])
            .output("b", &[1]);
        let (graph, _) = carried(builder);
        assert_eq!(lines(&graph).last().unwrap(), "Cast(v.half) -> v");
        assert_eq!(lines(&graph).len(), 4);
    }

    #[test]
    fn graphs_in_nodes_and_other_domains_are_unsupported() {
        let branch = GraphBuilder::new().node("Neg", &["x"], &["n"]).output("n", &[]);
        let x = || GraphBuilder::new().input("x", &[1]);
        for builder in [
            x().node("If", &["x"], &["y"]).inner("then_branch", branch),
            x().node("Relu", &["x"], &["y"]).domain("com.microsoft"),
        ] {
            let refused = to_float16(&mut builder.build(), &BTreeSet::new(), &mut PassChanges::default());
            assert!(matches!(refused, Err(OnnxError::Float16 { node, .. }) if node == "y"));
        }
    }
}
