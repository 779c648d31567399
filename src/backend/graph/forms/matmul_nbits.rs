//! `MatMulNBits` of the domain `com.microsoft`: a product with a weight of 4 or 8 bits as one node, which onnxruntime computes
//! without decoding the weight at every run.
//!
//! The weight lies there as `[out, blocks, bytes of a block]`: along the inputs, which the product sums over, in blocks that
//! share a scale, the last one filled up. Codes are never negative, and stand for `code − 2^(bits−1)` times the scale unless
//! there are zero points.

use super::{
    Form,
    products::{Readers, add_bias_behind, readers},
};
use crate::{
    backend::{
        layouts::onnx::Place,
        weights::{EncodedWeight, Runs, WeightScheme, ZeroPoints},
    },
    model::onnx::{
        DeferredTensor, Graph, Model, OnnxError, attribute_int,
        proto::{NodeProto, data_type},
    },
    numeric::{DType, Packing},
};

/// What users call the form.
pub(super) const NAME: &str = "matmul_nbits";
const OPERATOR: &str = "MatMulNBits";
const DOMAIN: &str = "com.microsoft";
const DOMAIN_VERSION: i64 = 1;

/// A weight in nodes of MatMulNBits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::backend) struct MatMulNBits {
    /// The least accuracy in which the runtime may take the other operand: 0 and 1 are f32, 2 f16, 3 bf16, 4 int8.
    pub(in crate::backend) accuracy_level: usize,
    /// Whether the constant has its outputs along the second axis, so that it is read column by column.
    pub(in crate::backend) swaps: bool,
}

impl MatMulNBits {
    /// The form, if it can hold a constant of these codes that this graph reads.
    pub(in crate::backend) fn for_constant(self, graph: &Graph, constant: &str, dtype: DType) -> Option<Form> {
        let takes = dtype.is_integer() && readers(graph, constant).is_some();
        takes.then_some(Form::MatMulNBits(self))
    }

    /// Makes each product that reads the constant a node of MatMulNBits. The tensors that it reads, which are deferred.
    pub(super) fn put(
        self,
        model: &mut Model,
        constant: &str,
        weight: &WeightScheme,
        deferred: &mut Vec<DeferredTensor>,
    ) -> Result<EncodedWeight, OnnxError> {
        model.import(DOMAIN, DOMAIN_VERSION);
        let graph = model.graph_mut();
        let encoded = tensors(graph, constant, weight, deferred)?;
        let attributes = [
            ("K", weight.grid.columns),
            ("N", weight.grid.rows),
            ("bits", weight.scheme.dtype.spec().bits as usize),
            ("block_size", weight.grid.cell_columns),
            ("accuracy_level", self.accuracy_level),
        ];
        let attributes = attributes.map(|(name, value)| attribute_int(name, value as i64));
        let Readers { products, transposes } = readers(graph, constant).unwrap_or_default();
        for product in products {
            let own = |proto: &mut NodeProto| {
                (proto.op_type, proto.domain) = (Some(OPERATOR.to_owned()), Some(DOMAIN.to_owned()));
                proto.input.truncate(1);
                proto.input.extend(encoded.tensors().map(|tensor| tensor.name.clone()));
                proto.attribute = attributes.to_vec();
            };
            add_bias_behind(graph, product);
            graph.update(product, own);
        }
        graph.remove(&transposes);
        Ok(encoded)
    }
}

/// The tensors that a node reads, in the order in which it does.
fn tensors(
    graph: &mut Graph,
    constant: &str,
    weight: &WeightScheme,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let bits = weight.scheme.dtype.spec().bits;
    let packing = Packing::Blocks { bits, size: weight.grid.cell_columns };
    let (rows, blocks) = weight.grid.cells();
    let scale_format = weight.scheme.scale_format(weight.format);
    let mut place = Place { constant, claim: &mut |wanted| graph.claim(wanted), deferred };
    let codes = [rows, blocks, packing.row_bytes(weight.grid.cell_columns)];
    let codes = place.tensor("quantized", data_type::UINT8, 8, &codes)?;
    let scales = place.tensor("scale", scale_format.spec().onnx, 8 * scale_format.spec().size, &[rows, blocks])?;
    let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
        let codes = Packing::Blocks { bits, size: packing.codes_per_byte() };
        let tensor = place.tensor("zero_point", data_type::UINT8, 8, &[rows, codes.row_bytes(blocks)])?;
        Ok::<_, OnnxError>(ZeroPoints { tensor, packing: codes, runs: Runs::Rows })
    });
    let zero_points = zero_points.transpose()?;
    Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points, constants: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::graph::{
            forms::Forms,
            testing::{self, Tensors},
        },
        model::onnx::testing::{GraphBuilder, lines},
        numeric::FloatFormat,
        quant::{Granularity, Grid, ScaleRule, Scheme},
        tensor::Shape,
    };

    /// `[in, out]`: the largest magnitude of each block of 4 inputs is 7.
    const WEIGHT: [f32; 15] = [7., 0., 2., -7., 7., 3., 1., -7., -7., 0., 5., -6., 7., -7., 7.];

    fn scheme(dtype: DType) -> WeightScheme {
        let granularity = Granularity::PerGroup { axis: 1, size: 4 };
        let grid = Grid::new(&Shape::new(vec![3, 5]).unwrap(), granularity).unwrap();
        WeightScheme::new(Scheme::onnx(dtype, granularity), grid, FloatFormat::F32)
    }

    /// The graph with its constant `w` in nodes of MatMulNBits, and the tensors of the result.
    fn written(graph: GraphBuilder, weight: WeightScheme, swaps: bool) -> (Model, Tensors) {
        let form = MatMulNBits { accuracy_level: 4, swaps };
        let model = graph.model(17);
        let form = form.for_constant(model.graph(), "w", weight.scheme.dtype).unwrap();
        testing::written(&model, &BTreeMap::from([("w".to_owned(), weight)]), &Forms::from([("w".to_owned(), form)]))
    }

    fn product() -> GraphBuilder {
        let graph = GraphBuilder::new().input("x", &[1, 5]).output("y", &[1, 3]);
        graph.floats("w", &[5, 3], &WEIGHT).node("MatMul", &["x", "w"], &["y"])
    }

    /// The same as a PyTorch Linear, whose weight is `[out, in]`.
    fn linear() -> GraphBuilder {
        let transposed: Vec<f32> = (0..15).map(|at| WEIGHT[at % 5 * 3 + at / 5]).collect();
        let graph = GraphBuilder::new().input("x", &[1, 5]).output("y", &[1, 3]).weight("bias", &[3]);
        graph.floats("w", &[3, 5], &transposed)
    }

    const INT4: [u8; 12] = [0x1f, 0x89, 0x8f, 0x88, 0xf8, 0xd1, 0x81, 0x88, 0xba, 0x21, 0x8f, 0x88];

    #[test]
    fn codes_of_4_bits_lie_block_by_block_behind_each_other() {
        let (model, tensors) = written(product(), scheme(DType::Int4), true);
        assert_eq!(lines(model.graph()), ["MatMulNBits(x, w.quantized, w.scale) -> y"]);
        assert_eq!(tensors["w.quantized"], (vec![3, 2, 2], INT4.to_vec()));
        let ones: Vec<u8> = [1f32; 6].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(tensors["w.scale"], (vec![3, 2], ones));
    }

    #[test]
    fn codes_of_8_bits_lie_one_to_a_byte() {
        let mut weight = scheme(DType::Int8);
        weight.scheme.rule = ScaleRule::AmaxOverMax;
        let (_, tensors) = written(product(), weight, true);
        let codes = [255, 1, 146, 128, 255, 128, 128, 128];
        let (dims, bytes) = &tensors["w.quantized"];
        assert_eq!((&dims[..], &bytes[..8]), (&[3, 2, 4][..], &codes[..]));
    }

    #[test]
    fn a_weight_that_has_its_outputs_first_and_one_that_the_graph_transposes_lie_alike() {
        let gemm = linear().node("Gemm", &["x", "w", "bias"], &["y"]).int("transB", 1);
        let (model, tensors) = written(gemm, scheme(DType::Int4), false);
        assert_eq!(tensors["w.quantized"].1, INT4);
        let expected = ["MatMulNBits(x, w.quantized, w.scale) -> y.product", "Add(y.product, bias) -> y"];
        assert_eq!(lines(model.graph()), expected);

        let transposed = linear().node("Transpose", &["w"], &["t"]).node("MatMul", &["x", "t"], &["y"]);
        let (model, tensors) = written(transposed, scheme(DType::Int4), false);
        assert_eq!(tensors["w.quantized"].1, INT4);
        assert_eq!(lines(model.graph()), ["MatMulNBits(x, w.quantized, w.scale) -> y"]);
    }

    #[test]
    fn zero_points_of_a_row_are_packed_for_themselves() {
        let mut weight = scheme(DType::Int4);
        weight.scheme.rule = ScaleRule::RangeOverSteps;
        let (model, tensors) = written(product(), weight, true);
        assert_eq!(lines(model.graph()), ["MatMulNBits(x, w.quantized, w.scale, w.zero_point) -> y"]);
        let (dims, bytes) = &tensors["w.zero_point"];
        assert_eq!((&dims[..], bytes.len()), (&[3, 1][..], 3));
        // The first row has a block from −7 to 7, where the code 8 of 0 to 15 stands for 0, and one from 0 to 7.
        assert_eq!(bytes.first(), Some(&0x08));
    }

    #[test]
    fn a_constant_that_something_else_reads_has_another_form() {
        let fits = |graph: GraphBuilder, dtype| {
            let form = MatMulNBits { accuracy_level: 4, swaps: true };
            form.for_constant(graph.model(17).graph(), "w", dtype).is_some()
        };
        assert!(fits(product(), DType::Int4));
        assert!(fits(product().node("MatMul", &["y", "w"], &["z"]), DType::Int8));
        assert!(!fits(product(), DType::Fp8E4m3fn));
        assert!(!fits(product().output("w", &[5, 3]), DType::Int4));
        for other in ["Shape", "Neg"] {
            assert!(!fits(product().node(other, &["w"], &["s"]), DType::Int4), "{other}");
        }
        assert!(!fits(product().node("MatMul", &["w", "y"], &["z"]), DType::Int4), "it is the first operand there");
        let gemm = || linear().node("Gemm", &["x", "w", "bias"], &["y"]).int("transB", 1);
        assert!(fits(gemm().float("alpha", 1.0), DType::Int4));
        assert!(!fits(gemm().float("alpha", 0.5), DType::Int4));
        assert!(!fits(gemm().float("beta", 2.0), DType::Int4));
        assert!(!fits(gemm().int("transA", 1), DType::Int4));
    }
}
