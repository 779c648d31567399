//! An embedding table in codes, with a scale for each row: what is picked of both is multiplied, so that a run decodes the
//! rows that it needs and no others. A DequantizeLinear before the Gather would decode the whole table at every run, and
//! one behind it knows a single scale.

use crate::{
    backend::{
        graph::tables::picks_rows,
        layouts::onnx::Place,
        weights::{EncodedWeight, WeightScheme},
    },
    model::onnx::{DeferredTensor, Graph, NodeId, OnnxError, attribute_int, new_node},
};

/// What plans and reports call the form.
pub(super) const NAME: &str = "gathered";

/// Whether nodes that pick rows of a constant are all that reads it, be it only its shape.
pub(super) fn fits(graph: &Graph, constant: &str) -> bool {
    graph.tensor(constant).is_some_and(|tensor| {
        let uses = graph.uses(tensor);
        graph.reads(tensor) == uses.len() && uses.iter().all(|one| one.input == 0 && picks_rows(graph, one.node))
    })
}

/// Has each node that picks rows of the constant pick codes, and the scales beside. The tensors that these are, which are
/// deferred.
pub(super) fn put(
    graph: &mut Graph,
    constant: &str,
    weight: &WeightScheme,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let spec = weight.scheme.dtype.spec();
    let scale_format = weight.scheme.scale_format(weight.format);
    let (rows, width) = (weight.grid.rows, weight.grid.columns);
    let mut place = Place { constant, claim: &mut |wanted| graph.claim(wanted), deferred };
    let codes = place.tensor("quantized", spec.onnx, spec.bits as usize, &[rows, width])?;
    let scales = place.tensor("scale", scale_format.spec().onnx, 8 * scale_format.spec().size, &[rows, 1])?;
    let uses = graph.tensor(constant).map(|tensor| graph.uses(tensor).to_vec()).unwrap_or_default();
    for one in uses {
        decode_behind(graph, one.node, [&codes.name, &scales.name], weight);
    }
    Ok(EncodedWeight { codes, packing: spec.packing, scales, scale_format, zero_points: None, constants: Vec::new() })
}

/// Has a node pick codes in the place of rows, and puts behind it what makes rows of them.
fn decode_behind(graph: &mut Graph, node: NodeId, [codes, scales]: [&String; 2], weight: &WeightScheme) {
    let picked = graph.output(node, 0).map(|output| graph.name(output).to_owned());
    let indices = graph.input(node, 1).map(|indices| graph.name(indices).to_owned());
    let (Some(output), Some(indices)) = (picked, indices) else { return };
    let [picked, scale, float] =
        ["quantized", "scale", "unscaled"].map(|suffix| graph.claim(&format!("{output}.{suffix}")));
    graph.update(node, |proto| {
        proto.input = vec![codes.clone(), indices.clone()];
        proto.output = vec![picked.clone()];
    });
    let mut cast = new_node("Cast", "", vec![picked], &float);
    cast.attribute.push(attribute_int("to", i64::from(weight.format.onnx())));
    let scales = new_node("Gather", "", vec![scales.clone(), indices], &scale);
    let product = new_node("Mul", "", vec![float, scale], &output);
    graph.insert(graph.position(node) + 1, vec![scales, cast, product]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::graph::{
            forms::{Form, Forms},
            testing::written,
        },
        model::onnx::testing::{GraphBuilder, lines},
        numeric::{DType, FloatFormat},
        quant::{Granularity, Grid, Scheme},
        tensor::Shape,
    };

    fn graph() -> GraphBuilder {
        let graph = GraphBuilder::new().input("ids", &[2]).floats("w", &[2, 2], &[127.0, -1.0, 0.0, 63.5]);
        graph.node("Gather", &["w", "ids"], &["y"]).output("y", &[2, 2])
    }

    #[test]
    fn rows_and_their_scales_are_picked_and_multiplied() {
        let granularity = Granularity::PerChannel { axis: 0 };
        let grid = Grid::new(&Shape::new(vec![2, 2]).unwrap(), granularity).unwrap();
        let weight = WeightScheme::new(Scheme::onnx(DType::Int8, granularity), grid, FloatFormat::F32);
        let forms = Forms::from([("w".to_owned(), Form::Gathered)]);
        let (model, tensors) = written(&graph().model(17), &BTreeMap::from([("w".to_owned(), weight)]), &forms);
        let expected = [
            "Gather(w.quantized, ids) -> y.quantized",
            "Gather(w.scale, ids) -> y.scale",
            "Cast(y.quantized) -> y.unscaled",
            "Mul(y.unscaled, y.scale) -> y",
        ];
        assert_eq!(lines(model.graph()), expected);
        assert_eq!(tensors["w.quantized"], (vec![2, 2], vec![127, 255, 0, 127]));
        let scales = [1f32, 0.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(tensors["w.scale"], (vec![2, 1], scales));
    }

    #[test]
    fn what_reads_the_table_otherwise_has_no_place_in_it() {
        let fits = |graph: GraphBuilder| fits(&graph.build(), "w");
        assert!(fits(graph()));
        assert!(fits(graph().node("Gather", &["w", "more"], &["z"])));
        assert!(!fits(graph().node("Gather", &["w", "more"], &["z"]).int("axis", 1)));
        assert!(!fits(graph().node("Shape", &["w"], &["s"])));
        assert!(!fits(graph().node("MatMul", &["y", "w"], &["z"])));
        assert!(!fits(graph().output("w", &[2, 2])));
    }
}
