//! [`Opened`]: a model that was read and prepared, with its plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    constants, dynamic,
    options::{FORMATS, Options, Symmetry},
    placement::{self, Operand, Placement, QdqSite},
    prepare::{self, Preparation},
    reductions, stem, tables,
};
use crate::{
    backend::{
        BackendError,
        graph::{
            inventory::{self, Candidate, Inventory},
            tables::add_tables,
        },
    },
    fault::WarningCode,
    model::onnx::{Graph, Model, NodeId, dimensions},
    numeric::FloatFormat,
    spec::{Decision, Objection, ObjectionCode, QuantizeSpec, Resolved, Warning, resolve},
};

/// A model with its plan.
pub(super) struct Opened {
    /// The model as it came.
    pub(super) path: PathBuf,
    spec: QuantizeSpec,
    /// The model that is quantized.
    pub(super) model: Model,
    pub(super) preparation: Preparation,
    /// One for each layer of the plan; `None` where the node has no weight that can be quantized.
    pub(super) candidates: Vec<Option<Candidate>>,
    /// The node of each layer.
    pub(super) nodes: Vec<Option<NodeId>>,
    /// The layer of each node.
    layers: BTreeMap<NodeId, usize>,
    /// The tensors that get a Q/DQ pair.
    pub(super) sites: Vec<QdqSite>,
    /// Constant operands that are to be in codes.
    pub(super) operands: Vec<Operand>,
    /// Tensors that are to share a range.
    pub(super) joined: Vec<BTreeSet<String>>,
    pub(super) resolved: Resolved,
    pub(super) options: Options,
}

/// What is to become of the layers of a graph.
struct Planned {
    candidates: Vec<Option<Candidate>>,
    nodes: Vec<Option<NodeId>>,
    sites: Vec<QdqSite>,
    operands: Vec<Operand>,
    resolved: Resolved,
}

impl Planned {
    fn new(spec: &QuantizeSpec, options: &Options, graph: &Graph) -> Result<Self, BackendError> {
        let placement = options.placement;
        let mut inventory = inventory::inventory(graph, &FORMATS, &placement.inputs_only())?;
        if placement.has_tables {
            add_tables(graph, &mut inventory)?;
        }
        let Inventory { layers, candidates, nodes } = inventory;
        let mut resolved = resolve(spec, &layers);
        tables::plan_weights_alone(spec, graph, &candidates, &mut resolved);
        constants::leave_unquantizable(spec, options, graph, &candidates, &mut resolved);
        dynamic::choose(spec, options, graph, &candidates, &mut resolved);
        let (sites, operands) = placement::place(spec, placement, graph, &candidates, &nodes, &mut resolved);
        tables::leave_shared(spec, graph, &candidates, &mut resolved);
        Ok(Planned { candidates, nodes, sites, operands, resolved })
    }
}

impl Opened {
    /// Reads and prepares a model, and resolves the rules against it.
    pub(super) fn new(spec: &QuantizeSpec, model: &Path) -> Result<Self, BackendError> {
        Self::prepared(spec, model, Options::new(spec), BTreeSet::new())
    }

    /// The same job with the graph left in f32.
    pub(super) fn in_f32(&self) -> Result<Self, BackendError> {
        Self::prepared(&self.spec, &self.path, self.options.in_f32(), BTreeSet::new())
    }

    /// Prepares the model anew, and plans it: what gives or reads these tensors of the f32 graph stays in f32.
    pub(super) fn keep_in_f32(&mut self, beyond: BTreeSet<String>) -> Result<(), BackendError> {
        *self = Self::prepared(&self.spec, &self.path, self.options.clone(), beyond)?;
        Ok(())
    }

    fn prepared(
        spec: &QuantizeSpec,
        model: &Path,
        options: Options,
        beyond: BTreeSet<String>,
    ) -> Result<Self, BackendError> {
        let path = model.to_owned();
        let mut model = Model::read(&path)?;
        let half =
            options.to_half || model.graph().initializers().any(|t| t.data_type == Some(FloatFormat::F16.onnx()));
        let preparation = prepare::prepare(&mut model, Options::needed_opset(spec, half), &options, beyond)?;
        let placement = options.placement;
        let mut planned = Planned::new(spec, &options, model.graph())?;
        if placement.pads_channels && stem::pad(model.graph_mut(), &planned.sites, &planned.candidates) > 0 {
            planned = Planned::new(spec, &options, model.graph())?;
        }
        let Planned { candidates, nodes, mut sites, operands, mut resolved } = planned;
        if placement.keeps_reduced_dims {
            reductions::keep_dims(model.graph_mut(), &sites);
        }
        match options.symmetry {
            Symmetry::Symmetric => sites.iter_mut().for_each(QdqSite::center),
            Symmetry::Asymmetric if !placement.is_unsigned() => resolved.objections.push(needs_zero(spec, placement)),
            Symmetry::Auto | Symmetry::Asymmetric => {}
        }
        if placement.strongly_typed && options.in_f32_by_default && sites.iter().any(QdqSite::is_f32) {
            resolved.warnings.push(Warning::new(WarningCode::Float32OutsidePairs, FLOAT32_OUTSIDE_PAIRS));
        }
        let joined = placement.joined(model.graph(), &sites);
        let layers = nodes.iter().enumerate().filter_map(|(layer, node)| Some(((*node)?, layer))).collect();
        let spec = spec.clone();
        Ok(Opened {
            path,
            spec,
            model,
            preparation,
            candidates,
            nodes,
            layers,
            sites,
            operands,
            joined,
            resolved,
            options,
        })
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

    /// The layer that a node is.
    pub(super) fn layer_of(&self, node: NodeId) -> Option<usize> {
        self.layers.get(&node).copied()
    }

    /// The layers that compute with what a pair gives; that of its rules where none of them has a weight.
    pub(super) fn layers_reading(&self, site: &QdqSite) -> Vec<usize> {
        let layers = site.uses.iter().filter(|one| one.input == 0).filter_map(|one| self.layer_of(one.node));
        let weighted: Vec<usize> = layers.filter(|&layer| self.candidate(layer).is_some()).collect();
        if weighted.is_empty() { vec![site.layer] } else { weighted }
    }

    /// The name and format of what each layer gives; a layer in a branch or a loop gives nothing in the main graph.
    pub(super) fn outputs(&self, layers: impl Iterator<Item = usize>) -> Vec<Option<(&String, FloatFormat)>> {
        let graph = self.model.graph();
        let types = graph.carried_types();
        let output = |layer: usize| {
            let name = graph.node(self.nodes.get(layer).copied().flatten()?).output.first()?;
            let known = types.get(name).and_then(|&element| FloatFormat::from_onnx(element));
            let of_weight = || self.candidate(layer).map(|candidate| candidate.format);
            Some((name, known.or_else(of_weight).unwrap_or(FloatFormat::F32)))
        };
        layers.map(output).collect()
    }
}

/// What a user of a runtime that goes by the graph's types should know of one in f32.
const FLOAT32_OUTSIDE_PAIRS: &str = "TensorRT 11, or 10 with --stronglyTyped, computes what is outside the Q/DQ pairs in \
    FP32, as the graph says; `high_precision_dtype: fp16` makes it FP16";

/// The objection to zero points where the runtime knows none.
fn needs_zero(spec: &QuantizeSpec, placement: &Placement) -> Objection {
    let message =
        format!("placement `{}` has no zero points: its integer kernels take symmetric codes", placement.name);
    Objection::new(spec.at("backend_kwargs/activations"), ObjectionCode::OptionConflict, message)
        .hint("leave `activations` out, or choose placement `onnxruntime` or `openvino`")
}
