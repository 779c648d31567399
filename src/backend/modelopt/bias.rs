//! Biases of layers that compute in integers: codes of 32 bits in the scale of the sums, that of the input times that of the
//! weight. An integer kernel adds nothing else.

use std::collections::BTreeMap;

use crate::{
    backend::{BackendError, graph::inventory::Candidate, weights::WeightScheme},
    model::onnx::{Constant, Graph, Model, NodeId, QdqWriter, Use, constant, node_name},
    numeric::{DType, FloatFormat},
    quant::{Granularity, cell_params},
};

/// Where the bias of a Conv or Gemm is.
const BIAS: usize = 2;

/// Quantizes the biases of the nodes in `inputs`, each with the scale of its input, as far as they have int8 weights and a
/// constant bias.
pub(super) fn quantize(
    source: &Model,
    candidates: &[Option<Candidate>],
    chosen: &BTreeMap<String, WeightScheme>,
    inputs: &[(NodeId, f32)],
    writer: &mut QdqWriter<'_>,
) -> Result<(), BackendError> {
    let graph = source.graph();
    let layers: BTreeMap<NodeId, &Candidate> =
        candidates.iter().flatten().map(|candidate| (candidate.node, candidate)).collect();
    for &(node, input_scale) in inputs {
        let Some(candidate) = layers.get(&node) else { continue };
        let Some(chosen) = chosen.get(&candidate.source) else { continue };
        let Some(bias) = bias(graph, node)? else { continue };
        if let Some(Coded { codes: Some(codes), scales }) = codes(graph, candidate, chosen, input_scale, &bias)? {
            writer.quantize_bias(Use { node, input: BIAS }, &node_name(graph.node(node)), &codes, &scales);
        }
    }
    Ok(())
}

/// The nodes in `inputs`, each with the scale of its input, whose biases have no codes: a channel with tiny weights and a bias
/// that is not. onnxruntime makes codes of such a bias itself, and they overflow.
pub(super) fn beyond(
    graph: &Graph,
    candidates: &[Option<Candidate>],
    chosen: &BTreeMap<String, WeightScheme>,
    inputs: &[(NodeId, f32)],
) -> Result<Vec<NodeId>, BackendError> {
    let layers: BTreeMap<NodeId, &Candidate> =
        candidates.iter().flatten().map(|candidate| (candidate.node, candidate)).collect();
    let mut found = Vec::new();
    for &(node, input_scale) in inputs {
        let Some(candidate) = layers.get(&node) else { continue };
        let Some((chosen, bias)) = chosen.get(&candidate.source).zip(bias(graph, node)?) else { continue };
        if let Some(Coded { codes: None, .. }) = codes(graph, candidate, chosen, input_scale, &bias)? {
            found.push(node);
        }
    }
    Ok(found)
}

/// A bias in codes.
pub(super) struct Coded {
    /// The codes; none where one of them would not fit.
    pub(super) codes: Option<Vec<i32>>,
    /// What a step of each is worth.
    pub(super) scales: Vec<f32>,
}

/// The codes of a bias, unless the weight is in no scheme of an integer kernel.
pub(super) fn codes(
    graph: &Graph,
    candidate: &Candidate,
    chosen: &WeightScheme,
    input_scale: f32,
    bias: &[f32],
) -> Result<Option<Coded>, BackendError> {
    let per_channel = matches!(chosen.scheme.granularity, Granularity::PerChannel { .. });
    if chosen.scheme.dtype != DType::Int8 || chosen.format != FloatFormat::F32 || !per_channel {
        return Ok(None);
    }
    let weight = graph.tensor(&candidate.source).map(|weight| constant(graph, weight)).transpose()?.flatten();
    let scales = weight.and_then(|weight| scales(&weight, chosen)).filter(|scales| scales.len() == bias.len());
    let Some(mut scales) = scales else { return Ok(None) };
    scales.iter_mut().for_each(|scale| *scale *= input_scale);
    let codes: Option<Vec<i32>> = bias.iter().zip(&scales).map(|(&value, &scale)| code(value, scale)).collect();
    Ok(Some(Coded { codes, scales }))
}

/// The scales that a weight will have; nothing of one that cannot be quantized, of which its writer tells.
fn scales(weight: &Constant<'_>, chosen: &WeightScheme) -> Option<Vec<f32>> {
    let bytes = chosen.grid.columns * chosen.format.size();
    let row = |row: usize| weight.read(row * bytes..(row + 1) * bytes);
    let params = cell_params(&chosen.grid, &chosen.scheme, chosen.format, &row).ok()?;
    Some(params.iter().map(|params| params.scale).collect())
}

/// The values of a node's bias, if it is a constant of rank 1.
fn bias(graph: &Graph, node: NodeId) -> Result<Option<Vec<f32>>, BackendError> {
    let takes = matches!(graph.op(node), Some("Conv" | "Gemm"));
    let Some(tensor) = graph.input(node, BIAS).filter(|_| takes) else { return Ok(None) };
    let bias = constant(graph, tensor)?.filter(|bias| bias.shape.rank() == 1 && bias.format == FloatFormat::F32);
    Ok(bias.map(|bias| bias.format.decode(&bias.read(0..bias.shape.elements() * bias.format.size()))))
}

/// `round(value / scale)`, ties to even; nothing where that is no 32-bit number.
fn code(value: f32, scale: f32) -> Option<i32> {
    // Below this a kernel that adds products to it cannot overflow: 2^30 products' worth of room is left.
    const MOST: f64 = (1_i64 << 30) as f64;
    let code = (f64::from(value) / f64::from(scale)).round_ties_even();
    (code.abs() <= MOST).then_some(code as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_is_rounded_to_even_and_one_that_does_not_fit_has_no_code() {
        assert_eq!([0.75, -0.25, 0.0].map(|value| code(value, 0.5)), [Some(2), Some(0), Some(0)]);
        let small = (-20.0_f32).exp2();
        assert_eq!(code(1000.0, small), Some(1_048_576_000));
        assert_eq!(code(-2000.0, small), None);
        assert_eq!(code(f32::NAN, 1.0), None);
    }
}
