//! Biases of layers that compute in integers: codes of 32 bits in the scale of the sums, that of the input times that of the
//! weight. An integer kernel adds nothing else.

use std::collections::BTreeMap;

use crate::{
    backend::{BackendError, graph::inventory::Candidate, weights::WeightScheme},
    model::onnx::{Graph, NodeId, TensorId, constant},
    numeric::{DType, FloatFormat},
    quant::{Granularity, MinMax, cell_ranges, qparams},
};

/// Where the bias of a Conv or Gemm is.
pub(super) const BIAS: usize = 2;

/// A bias in codes.
pub(super) struct Coded {
    pub(super) place: Place,
    /// The codes; none where there is no scale at which all of them fit.
    pub(super) codes: Option<Vec<i32>>,
    /// What a step of each is worth.
    pub(super) scales: Vec<f32>,
}

/// Biases in codes, and what these ask of the weights.
pub(super) struct Biases {
    /// By the node of their layer.
    pub(super) coded: BTreeMap<NodeId, Coded>,
    /// The scales that some channels of a weight must have, by its name; 0 for the others. Next to a bias, the weights of a channel may be so
    /// small that at their own scale it has no code. At a larger one they are as good as 0, which they are beside it. Those that are 0
    /// have a scale at which the bias is in the finest codes.
    pub(super) given: BTreeMap<String, Vec<f32>>,
}

/// Where the bias of a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An input of the layer itself.
    Input,
    /// The Add behind a product with a matrix of this many rows.
    Add { node: NodeId, rows: usize },
}

/// What a channel of a weight is stored with.
#[derive(Clone, Copy)]
struct Channel {
    scale: f32,
    is_zero: bool,
}

/// A layer with a bias.
struct Biased<'a> {
    node: NodeId,
    source: &'a str,
    place: Place,
    bias: Vec<f32>,
    input_scale: f32,
}

/// The constant biases of the nodes in `inputs`, each given with the scale of its input, as far as they have int8 weights.
/// Those that an Add behind a MatMul adds are among them where `with_adds` says so.
pub(super) fn coded(
    graph: &Graph,
    candidates: &[Option<Candidate>],
    chosen: &BTreeMap<String, WeightScheme>,
    inputs: &[(NodeId, f32)],
    with_adds: bool,
) -> Result<Biases, BackendError> {
    let layers: BTreeMap<NodeId, &Candidate> =
        candidates.iter().flatten().map(|candidate| (candidate.node, candidate)).collect();
    let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
    layers.values().for_each(|layer| *readers.entry(layer.source.as_str()).or_default() += 1);
    let (mut biased, mut channels) = (Vec::new(), BTreeMap::new());
    for &(node, input_scale) in inputs {
        let Some(candidate) = layers.get(&node) else { continue };
        let Some(scheme) = chosen.get(&candidate.source) else { continue };
        let Some((place, bias)) = bias(graph, candidate)? else { continue };
        if place != Place::Input && !with_adds {
            continue;
        }
        let source = candidate.source.as_str();
        if !channels.contains_key(source) {
            let Some(own) = weight_channels(graph, source, scheme)? else { continue };
            channels.insert(source, own);
        }
        if channels.get(source).is_some_and(|own| own.len() == bias.len()) {
            biased.push(Biased { node, source, place, bias, input_scale });
        }
    }
    Ok(in_codes(biased, channels, |source| readers.get(source) == Some(&1)))
}

/// The codes of biases, at scales of weights that are given where they must be. A weight of several layers keeps its own: what one of
/// them needs is wrong for another.
fn in_codes<'a>(
    biased: Vec<Biased<'a>>,
    mut channels: BTreeMap<&'a str, Vec<Channel>>,
    is_own: impl Fn(&str) -> bool,
) -> Biases {
    let mut given: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for Biased { source, bias, input_scale, .. } in biased.iter().filter(|one| is_own(one.source)) {
        let own = channels.get_mut(source).map(Vec::as_mut_slice).unwrap_or_default();
        for (at, (channel, &value)) in own.iter_mut().zip(bias).enumerate() {
            let needed = least_scale(value, *input_scale);
            if needed.is_normal() && (channel.is_zero || needed > channel.scale) {
                channel.scale = needed;
                let scales = given.entry((*source).to_owned()).or_insert_with(|| vec![0.0; bias.len()]);
                scales.iter_mut().skip(at).take(1).for_each(|scale| *scale = needed);
            }
        }
    }
    let coded = biased.into_iter().map(|Biased { node, source, place, bias, input_scale }| {
        let own = channels.get(source).map(Vec::as_slice).unwrap_or_default();
        let scales: Vec<f32> = own.iter().map(|channel| channel.scale * input_scale).collect();
        let codes = bias.iter().zip(&scales).map(|(&value, &scale)| code(value, scale)).collect();
        (node, Coded { place, codes, scales })
    });
    Biases { coded: coded.collect(), given }
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

/// The channels of a weight as they would be stored; nothing of weights that are in no scheme of an integer kernel, or that cannot be
/// quantized, of which their writer tells.
fn weight_channels(graph: &Graph, source: &str, chosen: &WeightScheme) -> Result<Option<Vec<Channel>>, BackendError> {
    let per_channel = matches!(chosen.scheme.granularity, Granularity::PerChannel { .. });
    if chosen.scheme.dtype != DType::Int8 || chosen.format != FloatFormat::F32 || !per_channel {
        return Ok(None);
    }
    let Some(weight) = graph.tensor(source).map(|weight| constant(graph, weight)).transpose()?.flatten() else {
        return Ok(None);
    };
    let grid = &chosen.grid;
    let bytes = grid.columns * chosen.format.size();
    let row = |row: usize| weight.read(row * bytes..(row + 1) * bytes);
    let ranges = cell_ranges(grid, &chosen.scheme, chosen.format, &row).ok();
    let channel = |range: MinMax| Channel {
        scale: qparams(range, &chosen.scheme, chosen.format).scale,
        is_zero: range.amax() == 0.0,
    };
    Ok(ranges.map(|ranges| ranges.into_iter().map(channel).collect()))
}

/// A code of a bias is no larger: 2^30 products' worth of room is left, so that a kernel that adds them to it cannot overflow.
const MOST: f32 = (1_u32 << 30) as f32;

/// The least scale of the weights of a channel at which its bias has a code, all rounding on the way allowed for.
fn least_scale(bias: f32, input_scale: f32) -> f32 {
    const SPARE: f32 = 1.0 + 1.0 / 1024.0;
    bias.abs() / MOST / input_scale * SPARE
}

/// `round(value / scale)`, ties to even; nothing where that is too large or no number.
fn code(value: f32, scale: f32) -> Option<i32> {
    let code = (f64::from(value) / f64::from(scale)).round_ties_even();
    (code.abs() <= f64::from(MOST)).then_some(code as i32)
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

    #[test]
    fn weights_that_are_all_but_zero_next_to_their_bias_have_a_larger_scale() {
        let graph = crate::model::onnx::testing::GraphBuilder::new().node("Conv", &["x", "w", "b"], &["y"]).build();
        let node = graph.node_at(0).unwrap();
        let biased =
            |bias: &[f32]| Biased { node, source: "w", place: Place::Input, bias: bias.to_vec(), input_scale: 0.5 };
        let channels = |second, is_zero| {
            let first = Channel { scale: 0.25, is_zero: false };
            BTreeMap::from([("w", vec![first, Channel { scale: second, is_zero }])])
        };
        let of = |bias: &[f32]| in_codes(vec![biased(bias)], channels(1e-20, false), |_| true);
        let Biases { coded, given } = of(&[1.0, 3.0]);
        let [first, second] = given["w"][..] else { panic!("{given:?}") };
        assert_eq!(first, 0.0);
        assert!(second > 5.5e-9 && second < 5.6e-9, "{second}");
        let fine = |codes: &[i32]| codes[0] == 8 && codes[1] > (1 << 30) - (1 << 21) && codes[1] <= 1 << 30;
        assert!(fine(coded[&node].codes.as_ref().unwrap()));
        assert_eq!(coded[&node].scales, [0.125, second * 0.5]);
        assert!(of(&[1.0, 1e-15]).given.is_empty());
        assert!(of(&[1.0, f32::INFINITY]).coded[&node].codes.is_none());
        // Of weights that are 0 the scale is free, and 1 is none for every bias.
        let zero = in_codes(vec![biased(&[1.0, 3.0])], channels(1.0, true), |_| true);
        assert!(fine(zero.coded[&node].codes.as_ref().unwrap()) && zero.given["w"] == given["w"]);
        let shared = in_codes(vec![biased(&[1.0, 3.0])], channels(1e-20, false), |_| false);
        assert!(shared.given.is_empty() && shared.coded[&node].codes.is_none());
    }
}
