//! [`View`]: what the rules look at.

use std::collections::BTreeMap;

use super::site::{QdqSite, SiteKind};
use crate::{
    backend::graph::{inventory::Candidate, tables::is_table},
    model::onnx::{Graph, NodeId, TensorId, Use},
    numeric::{DType, FloatFormat},
    spec::{Decision, LayerPlan},
};

/// A graph, and what the plan says of its layers. A layer is a number, that of its row in the plan.
pub(super) struct View<'a> {
    pub(super) graph: &'a Graph,
    plan: &'a [LayerPlan],
    candidates: &'a [Option<Candidate>],
    nodes: &'a [Option<NodeId>],
    /// The layer of each node.
    layers: BTreeMap<NodeId, usize>,
    /// The element types of tensors, as far as the graph tells.
    types: BTreeMap<String, i32>,
    /// The format of tensors that nothing tells the format of.
    format: FloatFormat,
}

impl<'a> View<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        candidates: &'a [Option<Candidate>],
        nodes: &'a [Option<NodeId>],
        plan: &'a [LayerPlan],
    ) -> Self {
        // What is picked of a table may be converted before anything is computed with it.
        let computed = candidates.iter().flatten().filter(|candidate| !is_table(graph, candidate));
        let format = computed.map(|candidate| candidate.format).max().unwrap_or(FloatFormat::F32);
        let layers = nodes.iter().enumerate().filter_map(|(layer, node)| Some(((*node)?, layer))).collect();
        View { graph, plan, candidates, nodes, layers, types: graph.carried_types(), format }
    }

    /// The layers that are to be quantized, in the order of the plan.
    pub(super) fn quantized_layers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.plan.len()).filter(|&layer| self.is_quantized(layer))
    }

    fn is_quantized(&self, layer: usize) -> bool {
        self.plan.get(layer).is_some_and(|plan| plan.decision == Decision::Quantize)
    }

    /// What the plan says of a layer.
    pub(super) fn plan(&self, layer: usize) -> Option<&'a LayerPlan> {
        self.plan.get(layer)
    }

    /// The node of a layer; one in a branch or loop has none in this graph.
    pub(super) fn node(&self, layer: usize) -> Option<NodeId> {
        self.nodes.get(layer).copied().flatten()
    }

    /// The weight of a layer, if it can be quantized.
    pub(super) fn candidate(&self, layer: usize) -> Option<&'a Candidate> {
        self.candidates.get(layer)?.as_ref()
    }

    /// The dtype that a layer's inputs are to have, if they are to have pairs.
    pub(super) fn activations(&self, layer: usize) -> Option<DType> {
        self.plan(layer)?.activations.filter(|_| self.plan(layer).is_some_and(|plan| !plan.dynamic))
    }

    /// The layer of a node, if its inputs are quantized.
    pub(super) fn with_quantized_inputs(&self, node: NodeId) -> Option<usize> {
        let layer = self.layers.get(&node).copied()?;
        (self.is_quantized(layer) && self.activations(layer).is_some()).then_some(layer)
    }

    /// The format of what a layer reads or gives.
    fn format(&self, layer: usize, tensor: &str) -> FloatFormat {
        let of_weight = self.candidate(layer).map(|candidate| candidate.format);
        let of_tensor = || FloatFormat::from_onnx(*self.types.get(tensor)?);
        of_weight.or_else(of_tensor).unwrap_or(self.format)
    }

    /// A pair before one of a layer's inputs; `None` if the input is left out, or is not to be quantized.
    pub(super) fn site(&self, layer: usize, input: usize) -> Option<QdqSite> {
        let node = self.node(layer)?;
        let tensor = self.graph.name(self.graph.input(node, input)?).to_owned();
        let format = self.format(layer, &tensor);
        let dtype = self.activations(layer)?;
        Some(QdqSite { layer, uses: vec![Use { node, input }], tensor, format, dtype, kind: SiteKind::Input })
    }

    /// A pair behind the node that gives a tensor, which `uses` read.
    pub(super) fn site_behind(
        &self,
        layer: usize,
        tensor: TensorId,
        uses: Vec<Use>,
        scale_of: Option<String>,
    ) -> Option<QdqSite> {
        let tensor = self.graph.name(tensor).to_owned();
        let format = self.format(layer, &tensor);
        let dtype = self.activations(layer)?;
        let kind = SiteKind::Behind { asymmetric: true, scale_of };
        Some(QdqSite { layer, uses, tensor, format, dtype, kind })
    }
}
