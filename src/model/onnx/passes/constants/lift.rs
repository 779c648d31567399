//! `Constant` nodes become initializers.

use std::collections::BTreeSet;

use crate::model::onnx::{Graph, constant_value, proto::TensorProto};

/// Replaces the `Constant` nodes of the main graph; one whose value is sparse or a text stays.
pub(super) fn lift_constants(graph: &mut Graph) {
    let mut lifted = BTreeSet::new();
    for id in graph.nodes().filter(|id| graph.op(*id) == Some("Constant")).collect::<Vec<_>>() {
        let value = graph.node(id).attribute.first().and_then(constant_value);
        let output = graph.output(id, 0).map(|output| graph.name(output).to_owned());
        if let (Some(tensor), Some(name)) = (value, output) {
            graph.add_initializer(TensorProto { name: Some(name), ..tensor });
            lifted.insert(id);
        }
    }
    graph.remove(&lifted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        proto::data_type,
        testing::{GraphBuilder, constants, floats, lines},
    };

    #[test]
    fn every_form_of_value_becomes_an_initializer() {
        let constant = |output: &str| GraphBuilder::new().node("Constant", &[], &[output]);
        let cases = [
            (constant("a").tensor("value", floats("", &[2], &[1.0, 2.0])), vec![2], data_type::FLOAT),
            (constant("a").float("value_float", 1.5), vec![], data_type::FLOAT),
            (constant("a").float_list("value_floats", &[1.0, 2.0, 3.0]), vec![3], data_type::FLOAT),
            (constant("a").int("value_int", 7), vec![], data_type::INT64),
            (constant("a").int_list("value_ints", &[7, 8]), vec![2], data_type::INT64),
        ];
        for (builder, dims, element) in cases {
            let mut graph = builder.build();
            lift_constants(&mut graph);
            let tensor = graph.initializers().next().unwrap();
            assert_eq!((tensor.name.as_deref(), &tensor.dims, tensor.data_type), (Some("a"), &dims, Some(element)));
            assert!(lines(&graph).is_empty());
        }
    }

    #[test]
    fn a_value_of_another_kind_or_domain_stays_a_node() {
        for builder in [
            GraphBuilder::new().node("Constant", &[], &["a"]).text("value_string", "x"),
            GraphBuilder::new().node("Constant", &[], &["a"]),
            GraphBuilder::new().node("Constant", &[], &["a"]).int("value_int", 1).domain("other"),
        ] {
            let mut graph = builder.build();
            lift_constants(&mut graph);
            assert_eq!((lines(&graph).len(), constants(&graph).len()), (1, 0));
        }
    }
}
