//! Biases of layers that compute in integers: codes of 32 bits in the scale of the sums, that of the input times that of the
//! weight. An integer kernel adds nothing else.

use std::collections::BTreeMap;

use crate::{
    backend::{BackendError, graph::inventory::Candidate, weights::WeightScheme},
    model::onnx::{Constant, Graph, NodeId, TensorId, constant},
    numeric::{DType, FloatFormat},
    quant::{Granularity, cell_params},
};

/// Where the bias of a Conv or Gemm is.
pub(super) const BIAS: usize = 2;

/// A bias in codes.
pub(super) struct Coded {
    pub(super) place: Place,
    /// The codes; none where one of them would not fit, next to a channel of tiny weights. onnxruntime makes codes of such a
    /// bias itself, and they overflow.
    pub(super) codes: Option<Vec<i32>>,
    /// What a step of each is worth.
    pub(super) scales: Vec<f32>,
}

/// Where the bias of a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An input of the layer itself.
    Input,
    /// The Add behind a product with a matrix of this many rows.
    Add { node: NodeId, rows: usize },
}

/// The constant biases of the nodes in `inputs`, each given with the scale of its input, as far as they have int8 weights.
/// Those that an Add behind a MatMul adds are among them where `with_adds` says so.
pub(super) fn coded(
    graph: &Graph,
    candidates: &[Option<Candidate>],
    chosen: &BTreeMap<String, WeightScheme>,
    inputs: &[(NodeId, f32)],
    with_adds: bool,
) -> Result<BTreeMap<NodeId, Coded>, BackendError> {
    let layers: BTreeMap<NodeId, &Candidate> =
        candidates.iter().flatten().map(|candidate| (candidate.node, candidate)).collect();
    let mut coded = BTreeMap::new();
    for &(node, input_scale) in inputs {
        let Some(candidate) = layers.get(&node) else { continue };
        let Some(chosen) = chosen.get(&candidate.source) else { continue };
        let Some((place, bias)) = bias(graph, candidate)? else { continue };
        if place != Place::Input && !with_adds {
            continue;
        }
        let Some(scales) = sum_scales(graph, candidate, chosen, input_scale)? else { continue };
        if scales.len() == bias.len() {
            let codes = bias.iter().zip(&scales).map(|(&value, &scale)| code(value, scale)).collect();
            coded.insert(node, Coded { place, codes, scales });
        }
    }
    Ok(coded)
}

/// Where a layer's bias is and its values, if it is a constant with one of f32 for each output.
fn bias(graph: &Graph, candidate: &Candidate) -> Result<Option<(Place, Vec<f32>)>, BackendError> {
    let node = candidate.node;
    let (place, tensor) = match (graph.op(node), candidate.shape.dims()) {
        (Some("Conv" | "Gemm"), _) => (Place::Input, graph.input(node, BIAS)),
        (Some("MatMul"), &[rows, _]) if !candidate.transposed => {
            let Some((add, tensor)) = added(graph, node) else { return Ok(None) };
            (Place::Add { node: add, rows }, Some(tensor))
        }
        _ => return Ok(None),
    };
    let bias = tensor.map(|tensor| constant(graph, tensor)).transpose()?.flatten();
    let bias = bias.filter(|bias| bias.shape.rank() == 1 && bias.format == FloatFormat::F32);
    Ok(bias.map(|bias| (place, bias.format.decode(&bias.read(0..bias.shape.elements() * bias.format.size())))))
}

/// The Add that is all that reads what a node gives, and what it adds.
fn added(graph: &Graph, node: NodeId) -> Option<(NodeId, TensorId)> {
    let output = graph.output(node, 0)?;
    let [only] = graph.uses(output) else { return None };
    let alone = graph.reads(output) == 1 && graph.op(only.node) == Some("Add");
    let other = graph.input(only.node, 1_usize.checked_sub(only.input)?)?;
    alone.then_some((only.node, other))
}

/// What a step of each sum of a layer is worth; nothing of weights that are in no scheme of an integer kernel, or that
/// cannot be quantized, of which their writer tells.
fn sum_scales(
    graph: &Graph,
    candidate: &Candidate,
    chosen: &WeightScheme,
    input_scale: f32,
) -> Result<Option<Vec<f32>>, BackendError> {
    let per_channel = matches!(chosen.scheme.granularity, Granularity::PerChannel { .. });
    if chosen.scheme.dtype != DType::Int8 || chosen.format != FloatFormat::F32 || !per_channel {
        return Ok(None);
    }
    let weight = graph.tensor(&candidate.source).map(|weight| constant(graph, weight)).transpose()?.flatten();
    let scales = weight.and_then(|weight| weight_scales(&weight, chosen));
    Ok(scales.map(|scales| scales.iter().map(|scale| scale * input_scale).collect()))
}

/// The scales that a weight will have.
fn weight_scales(weight: &Constant<'_>, chosen: &WeightScheme) -> Option<Vec<f32>> {
    let bytes = chosen.grid.columns * chosen.format.size();
    let row = |row: usize| weight.read(row * bytes..(row + 1) * bytes);
    let params = cell_params(&chosen.grid, &chosen.scheme, chosen.format, &row).ok()?;
    Some(params.iter().map(|params| params.scale).collect())
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
