//! `MatMulInteger`: a product of codes, those of the weight and those that a `DynamicQuantizeLinear` gives the other operand
//! as the model runs.
//!
//! `x · w` becomes `Cast(MatMulInteger(x_codes, w_codes, x_zero_point)) × (x_scale × w_scale)`, which onnxruntime fuses to one
//! node, `DynamicQuantizeMatMul` or `MatMulIntegerToFloat`. The order of the factors is that of its patterns.

use super::products::{Readers, add_bias_behind, readers};
use crate::{
    backend::{
        graph::inventory::Candidate,
        layouts::onnx,
        weights::{EncodedWeight, WeightScheme},
    },
    model::onnx::{
        Constant, DeferredTensor, Graph, NodeId, OnnxError, attribute_int, attribute_ints, int_attribute, new_node,
        proto::data_type,
    },
    numeric::{DType, FloatFormat},
};

/// What users call the form.
pub(super) const NAME: &str = "matmul_integer";
/// The version of ONNX's operators that has DynamicQuantizeLinear.
pub(super) const OPSET: i64 = 11;

/// Whether the form can hold a constant: int8 codes of f32 values that products alone read, and not too many for a sum.
pub(in crate::backend) fn is_possible(graph: &Graph, candidate: &Candidate, dtype: DType) -> bool {
    let reads = || readers(graph, &candidate.source).is_some_and(|readers| readers.transposes.is_empty());
    dtype == DType::Int8
        && candidate.format == FloatFormat::F32
        && !candidate.transposed
        && candidate.sums_fit()
        && reads()
}

/// Makes each product that reads the constant one of codes. The tensors that it reads, which are deferred.
pub(super) fn put(
    graph: &mut Graph,
    constant: &Constant<'_>,
    weight: &WeightScheme,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let name = &constant.source;
    let Readers { products, .. } = readers(graph, name).unwrap_or_default();
    let encoded = onnx::tensors(name, &constant.shape, weight, |wanted| graph.claim(wanted), deferred)?;
    for product in products {
        add_bias_behind(graph, product);
        in_codes(graph, product, &encoded);
    }
    Ok(encoded)
}

fn in_codes(graph: &mut Graph, product: NodeId, weight: &EncodedWeight) {
    let Some((codes, scale, zero_point)) = dynamic(graph, product) else { return };
    let Some(output) = graph.output(product, 0).map(|output| graph.name(output).to_owned()) else { return };
    let [sums, floats, step] = ["sums", "floats", "step"].map(|what| graph.claim(&format!("{output}.{what}")));
    let second = second(graph, product, weight);
    graph.update(product, |proto| {
        proto.op_type = Some("MatMulInteger".to_owned());
        proto.input = vec![codes, second, zero_point];
        proto.output = vec![sums.clone()];
        proto.attribute.clear();
    });
    let mut cast = new_node("Cast", "", vec![sums], &floats);
    cast.attribute.push(attribute_int("to", i64::from(data_type::FLOAT)));
    let chain = vec![
        cast,
        new_node("Mul", "", vec![scale, weight.scales.name.clone()], &step),
        new_node("Mul", "", vec![floats, step], &output),
    ];
    let position = graph.position(product) + 1;
    graph.insert(position, chain);
}

/// The codes of the weight as the second operand: where a Gemm reads them transposed, behind a Transpose, which runtimes do
/// once, as they load the model.
fn second(graph: &mut Graph, product: NodeId, weight: &EncodedWeight) -> String {
    let codes = weight.codes.name.clone();
    if graph.op(product) != Some("Gemm") || int_attribute(graph.node(product), "transB").unwrap_or(0) == 0 {
        return codes;
    }
    let transposed = graph.claim(&format!("{codes}.transposed"));
    let mut transpose = new_node("Transpose", "", vec![codes], &transposed);
    transpose.attribute.push(attribute_ints("perm", vec![1, 0]));
    let position = graph.position(product);
    graph.insert(position, vec![transpose]);
    transposed
}

/// Codes, scale and zero point of a product's first operand, computed as the model runs; products of one operand share them.
fn dynamic(graph: &mut Graph, product: NodeId) -> Option<(String, String, String)> {
    const OPERATOR: &str = "DynamicQuantizeLinear";
    let operand = graph.input(product, 0)?;
    if let Some(node) = graph.readers(operand).find(|node| graph.op(*node) == Some(OPERATOR)) {
        let output = |at: usize| graph.output(node, at).map(|output| graph.name(output).to_owned());
        return Some((output(0)?, output(1)?, output(2)?));
    }
    let name = graph.name(operand).to_owned();
    let [codes, scale, zero] = ["codes", "scale", "zero_point"].map(|what| graph.claim(&format!("{name}.{what}")));
    let mut node = new_node(OPERATOR, "", vec![name], &codes);
    node.output.extend([scale.clone(), zero.clone()]);
    // Right behind what gives the operand: another product of it may come before this one.
    let position = graph.producer(operand).map_or(0, |giver| graph.position(giver) + 1);
    graph.insert(position, vec![node]);
    Some((codes, scale, zero))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::graph::{
            forms::{Form, Forms},
            inventory::inventory,
            testing::{self, Tensors},
        },
        model::onnx::{
            Model,
            testing::{GraphBuilder, lines},
        },
        quant::{Granularity, Grid, Scheme},
        tensor::Shape,
    };

    fn written(graph: GraphBuilder, dims: [usize; 2], axis: usize) -> (Model, Tensors) {
        let granularity = Granularity::PerChannel { axis };
        let grid = Grid::new(&Shape::new(dims.to_vec()).unwrap(), granularity).unwrap();
        let weight = WeightScheme::new(Scheme::onnx(DType::Int8, granularity), grid, FloatFormat::F32);
        let model = graph.model(17);
        let forms = Forms::from([("w".to_owned(), Form::MatMulInteger)]);
        testing::written(&model, &BTreeMap::from([("w".to_owned(), weight)]), &forms)
    }

    #[test]
    fn a_product_is_one_of_codes_and_two_of_one_operand_share_its_codes() {
        let graph = GraphBuilder::new().input("x", &[1, 2]).floats("w", &[2, 2], &[1.0, 2.0, -1.0, 0.5]);
        let graph = graph.node("MatMul", &["x", "w"], &["y"]).node("MatMul", &["x", "w"], &["z"]);
        let (model, tensors) = written(graph.output("y", &[1, 2]).output("z", &[1, 2]), [2, 2], 1);
        let expected = [
            "DynamicQuantizeLinear(x) -> x.codes, x.scale, x.zero_point",
            "MatMulInteger(x.codes, w.quantized, x.zero_point) -> y.sums",
            "Cast(y.sums) -> y.floats",
            "Mul(x.scale, w.scale) -> y.step",
            "Mul(y.floats, y.step) -> y",
            "MatMulInteger(x.codes, w.quantized, x.zero_point) -> z.sums",
        ];
        assert_eq!(lines(model.graph())[..6], expected);
        assert_eq!(tensors["w.quantized"], (vec![2, 2], vec![127, 127, 129, 32]));
        assert_eq!(tensors["w.scale"].0, [2]);
    }

    #[test]
    fn a_gemm_has_its_weight_transposed_and_its_bias_behind() {
        let graph = GraphBuilder::new().input("x", &[1, 3]).weight("w", &[2, 3]).weight("b", &[2]);
        let gemm = graph.node("Gemm", &["x", "w", "b"], &["y"]).int("transB", 1).output("y", &[1, 2]);
        let (model, _) = written(gemm, [2, 3], 0);
        let expected = [
            "DynamicQuantizeLinear(x) -> x.codes, x.scale, x.zero_point",
            "Transpose(w.quantized) -> w.quantized.transposed",
            "MatMulInteger(x.codes, w.quantized.transposed, x.zero_point) -> y.product.sums",
            "Cast(y.product.sums) -> y.product.floats",
            "Mul(x.scale, w.scale) -> y.product.step",
            "Mul(y.product.floats, y.product.step) -> y.product",
            "Add(y.product, b) -> y",
        ];
        assert_eq!(lines(model.graph()), expected);
    }

    #[test]
    fn other_readers_other_numbers_and_sums_that_overflow_have_another_form() {
        let graph = |rows: i64| {
            GraphBuilder::new().input("x", &[1, rows]).weight("w", &[rows, 1]).node("MatMul", &["x", "w"], &["y"])
        };
        let fits = |graph: GraphBuilder, dtype| {
            let graph = graph.build();
            let candidates = inventory(&graph, &[FloatFormat::F32], &[]).unwrap().candidates;
            is_possible(&graph, candidates.iter().flatten().next().unwrap(), dtype)
        };
        assert!(fits(graph(2), DType::Int8));
        assert!(!fits(graph(2), DType::Int4));
        assert!(!fits(graph(2).node("Neg", &["w"], &["n"]), DType::Int8));
        assert!(!fits(graph(2).output("w", &[2, 1]), DType::Int8));
        // 255 · 127 · 66,311 is the last below 2³¹.
        assert!(fits(graph(66_311), DType::Int8) && !fits(graph(66_312), DType::Int8));
    }
}
