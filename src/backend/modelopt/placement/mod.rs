//! Which inputs of which nodes get a Q/DQ pair.
//!
//! Layers with weights come first; what else is quantized depends on them and on the runtime. Softmax, normalizations and
//! activation functions never are: no rule here places a pair before them. Every layer that a rule wanted quantized and
//! that is not has its reason.

mod attention;
mod concat;
mod exclusions;
mod residual;
mod wiring;

pub(super) use self::concat::joined;
use self::wiring::Wiring;
use super::{
    Candidate,
    options::{Options, Placement},
};
use crate::{
    model::onnx::{OnnxError, proto::GraphProto},
    numeric::{DType, FloatFormat},
    spec::{Decision, QuantizeSpec, Reason, Resolved},
};

/// An input that gets a Q/DQ pair.
#[derive(Clone, Debug)]
pub(super) struct QdqSite {
    /// The layer, as a position in the plan.
    pub(super) layer: usize,
    /// The node's position in the graph.
    pub(super) node: usize,
    /// Which of its inputs.
    pub(super) input: usize,
    /// The tensor there.
    pub(super) tensor: String,
    /// The tensor's element format.
    pub(super) format: FloatFormat,
    /// The dtype of its codes.
    pub(super) dtype: DType,
}

impl Placement {
    /// Operators without weights whose inputs may be quantized.
    pub(super) fn inputs_only(self) -> &'static [&'static str] {
        match self {
            Placement::TensorRt => &["Add", "AveragePool", "GlobalAveragePool", "MatMul", "MaxPool"],
            Placement::OnnxRuntime => &["MatMul"],
            Placement::Minimal => &[],
        }
    }
}

/// What the rules look at.
struct Place<'a> {
    spec: &'a QuantizeSpec,
    graph: &'a GraphProto,
    wiring: Wiring,
    candidates: &'a [Option<Candidate>],
    /// The node of each layer.
    nodes: &'a [usize],
    resolved: &'a Resolved,
    /// The format of tensors that no weight tells the format of.
    format: FloatFormat,
}

/// Every input that gets a Q/DQ pair, in the order of the nodes. Layers that the runtime would not gain from are left native
/// in `resolved`.
pub(super) fn place(
    spec: &QuantizeSpec,
    options: &Options,
    graph: &GraphProto,
    candidates: &[Option<Candidate>],
    nodes: &[usize],
    resolved: &mut Resolved,
) -> Result<Vec<QdqSite>, OnnxError> {
    let format = candidates.iter().flatten().map(|candidate| candidate.format).max().unwrap_or(FloatFormat::F32);
    let wiring = Wiring::new(graph)?;
    if options.placement == Placement::TensorRt {
        let place = Place { spec, graph, wiring: wiring.clone(), candidates, nodes, resolved, format };
        let native = place.excluded();
        resolved.leave_native(spec, native);
    }
    let place = Place { spec, graph, wiring, candidates, nodes, resolved, format };
    let mut sites = place.layers_with_weights();
    let mut native = Vec::new();
    for (layer, inputs) in place.layers_without_weights() {
        match inputs {
            Ok(inputs) => sites.extend(inputs.into_iter().filter_map(|input| place.site(layer, input))),
            Err(reason) => native.push((layer, reason)),
        }
    }
    sites.sort_by_key(|site| (site.node, site.input));
    resolved.leave_native(spec, native);
    Ok(sites)
}

impl Place<'_> {
    fn op_type(&self, layer: usize) -> &str {
        &self.resolved.plan.layers[layer].op_type
    }

    fn is_quantized(&self, layer: usize) -> bool {
        self.resolved.plan.layers[layer].decision == Decision::Quantize
    }

    /// The layer of a node, if its inputs are quantized.
    fn with_quantized_inputs(&self, node: usize) -> Option<usize> {
        let layer = self.nodes.binary_search(&node).ok()?;
        let plan = &self.resolved.plan.layers[layer];
        (self.is_quantized(layer) && plan.activations.is_some()).then_some(layer)
    }

    fn site(&self, layer: usize, input: usize) -> Option<QdqSite> {
        let node = self.nodes[layer];
        let format = self.candidates[layer].as_ref().map_or(self.format, |candidate| candidate.format);
        let dtype = self.resolved.plan.layers[layer].activations?;
        Some(QdqSite { layer, node, input, tensor: self.graph.node[node].input.get(input)?.clone(), format, dtype })
    }

    fn layers_with_weights(&self) -> Vec<QdqSite> {
        let layers =
            (0..self.nodes.len()).filter(|&layer| self.is_quantized(layer) && self.candidates[layer].is_some());
        layers.filter_map(|layer| self.site(layer, 0)).collect()
    }

    /// For each layer without weights that the rules want quantized: which of its inputs are, or why none is.
    fn layers_without_weights(&self) -> Vec<(usize, Result<Vec<usize>, Reason>)> {
        let layers =
            (0..self.nodes.len()).filter(|&layer| self.is_quantized(layer) && self.candidates[layer].is_none());
        layers
            .map(|layer| {
                let inputs = match self.op_type(layer) {
                    "Add" => self.residual_input(layer).map(|input| vec![input]),
                    "MatMul" => self.product_inputs(layer),
                    _ => self.pooling_input(layer),
                };
                (layer, inputs)
            })
            .collect()
    }

    /// Pooling keeps the codes between two quantized layers; elsewhere a pair would only cost time.
    fn pooling_input(&self, layer: usize) -> Result<Vec<usize>, Reason> {
        let node = self.nodes[layer];
        let dtype = self.resolved.plan.layers[layer].activations;
        if dtype.is_none_or(|dtype| !dtype.is_integer()) {
            return Err(Reason::DtypeUnsupported);
        }
        let before = self.wiring.producer_through_copies(self.graph, &self.graph.node[node].input[0]);
        let beside = before.into_iter().chain(self.wiring.consumers_through_copies(self.graph, node));
        let mut beside =
            beside.filter(|&node| self.with_quantized_inputs(node).is_some_and(|l| self.candidates[l].is_some()));
        beside.next().map(|_| vec![0]).ok_or(Reason::NeighbourNotQuantized)
    }
}
