//! [`Opened`]: a model that was read and prepared, with its plan.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    constants,
    options::{FORMATS, Options},
    placement::{self, QdqSite},
    prepare::{self, Preparation},
};
use crate::{
    backend::{
        BackendError,
        graph::inventory::{self, Candidate, Inventory},
    },
    model::onnx::{Model, NodeId, dimensions},
    numeric::FloatFormat,
    spec::{Decision, QuantizeSpec, Resolved, resolve},
};

/// A model with its plan.
pub(super) struct Opened {
    /// The model as it came.
    pub(super) path: PathBuf,
    /// The model that is quantized.
    pub(super) model: Model,
    pub(super) preparation: Preparation,
    /// One for each layer of the plan; `None` where the node has no weight that can be quantized.
    pub(super) candidates: Vec<Option<Candidate>>,
    /// The node of each layer.
    pub(super) nodes: Vec<Option<NodeId>>,
    /// The inputs that get a Q/DQ pair.
    pub(super) sites: Vec<QdqSite>,
    /// Tensors that are to share a range.
    pub(super) joined: Vec<BTreeSet<String>>,
    pub(super) resolved: Resolved,
    pub(super) options: Options,
}

impl Opened {
    /// Reads and prepares a model, and resolves the rules against it.
    pub(super) fn new(spec: &QuantizeSpec, model: &Path) -> Result<Self, BackendError> {
        let path = model.to_owned();
        let mut model = Model::read(&path)?;
        let options = Options::new(spec);
        let half =
            options.to_half || model.graph().initializers().any(|t| t.data_type == Some(FloatFormat::F16.onnx()));
        let preparation = prepare::prepare(&mut model, Options::needed_opset(spec, half), &options)?;
        let graph = model.graph();
        let placement = options.placement;
        let Inventory { layers, candidates, nodes } = inventory::inventory(graph, &FORMATS, &placement.inputs_only())?;
        let mut resolved = resolve(spec, &layers);
        constants::leave_unquantizable(spec, &options, graph, &candidates, &mut resolved);
        let sites = placement::place(spec, placement, graph, &candidates, &nodes, &mut resolved);
        let joined = placement.joined(graph, &sites);
        Ok(Opened { path, model, preparation, candidates, nodes, sites, joined, resolved, options })
    }

    /// The batch of a model that takes but one.
    pub(super) fn fixed_batch(&self) -> Option<usize> {
        let graph = self.model.graph();
        // Old models list their constants among the inputs.
        let constant = |name: &Option<String>| graph.initializers().any(|tensor| tensor.name == *name);
        let inputs = graph.inputs().iter().filter(|input| !constant(&input.name)).filter_map(dimensions);
        inputs.filter_map(|dims| usize::try_from((*dims.first()?)?).ok()).next()
    }

    /// Whether a layer is one that users want to read about: it could be quantized, or is of a kind that often is.
    pub(super) fn is_reported(&self, layer: usize) -> bool {
        let Some(plan) = self.resolved.plan.layers.get(layer) else { return false };
        self.candidate(layer).is_some() || inventory::is_compute(&plan.op_type) || plan.decision == Decision::Quantize
    }

    fn candidate(&self, layer: usize) -> Option<&Candidate> {
        self.candidates.get(layer)?.as_ref()
    }

    /// The name and format of what a layer gives; a layer in a branch or a loop gives nothing in the main graph.
    pub(super) fn output(&self, layer: usize) -> Option<(&String, FloatFormat)> {
        let node = self.nodes.get(layer).copied().flatten()?;
        let of_site = self.sites.iter().find(|site| site.layer == layer).map(|site| site.format);
        let of_weight = self.candidate(layer).map(|candidate| candidate.format);
        let format = of_site.or(of_weight).unwrap_or(FloatFormat::F32);
        Some((self.model.graph().node(node).output.first()?, format))
    }
}
