//! [`OpenedGraph`]: a graph with the plan for each of its layers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{own_axes::in_own_axes, readers::Readers};
use crate::{
    backend::{
        BackendError,
        graph::inventory::{self, Candidate, Inventory},
        torchao::options::Options,
        weights::WeightScheme,
    },
    fault::WarningCode,
    model::onnx::Model,
    numeric::FloatFormat,
    spec::{QuantizeSpec, Reason, Resolved, Support, Warning, resolve},
};

const FORMATS: [FloatFormat; 3] = [FloatFormat::F32, FloatFormat::F16, FloatFormat::Bf16];

/// A graph with its plan.
pub(in crate::backend::torchao) struct OpenedGraph {
    /// Where the model is.
    pub(super) path: PathBuf,
    pub(super) model: Model,
    pub(super) resolved: Resolved,
    /// For each layer of the plan, the constant that its weight is.
    pub(super) sources: Vec<Option<String>>,
    /// The constants to be quantized, by name.
    pub(super) weights: BTreeMap<String, WeightScheme>,
}

impl OpenedGraph {
    /// Resolves the rules against the graph's nodes.
    pub(in crate::backend::torchao) fn new(spec: &QuantizeSpec, path: &Path) -> Result<Self, BackendError> {
        let (path, model) = (path.to_owned(), Model::read(path)?);
        let Inventory { mut layers, candidates, .. } = inventory::inventory(model.graph(), &FORMATS, &[])?;
        for layer in &mut layers {
            // As in a checkpoint, a bare `*` takes Linear layers.
            if layer.support == Support::Yes && layer.classes.first().is_some_and(|class| class.starts_with("Conv")) {
                layer.support = Support::IfNamed(Reason::ConvolutionNotNamed);
            }
        }
        let mut resolved = resolve(spec, &layers);
        let options = Options::new(spec);
        if options.layout.is_some() {
            let note = "a graph has one layout: initializers behind DequantizeLinear";
            resolved.warnings.push(Warning::at(spec.at("backend_kwargs/layout"), WarningCode::FieldIgnored, note));
        }
        let mut weights = BTreeMap::new();
        let mut native = Vec::new();
        let readers = Readers::new(model.graph(), &candidates);
        for (at, candidate) in candidates.iter().enumerate() {
            let plan = &resolved.plan.layers[at];
            let (Some(candidate), Some(dtype)) = (candidate, plan.weights) else { continue };
            let alike = |other: usize| {
                let plan = &resolved.plan.layers[other];
                (plan.weights, candidates[other].as_ref().map(Candidate::own_axis))
                    == (Some(dtype), Some(candidate.own_axis()))
            };
            let weight = if readers.others.contains(&candidate.source)
                || !readers.layers.get(&candidate.source).into_iter().flatten().all(|&other| alike(other))
            {
                Err(Reason::TiedToNative)
            } else {
                let weight =
                    options.scheme(dtype, &candidate.torch_shape()).and_then(|scheme| in_own_axes(candidate, scheme));
                weight.map(|weight| weight.encoded_by(options.encoder))
            };
            match weight {
                Ok(weight) => drop(weights.insert(candidate.source.clone(), weight)),
                Err(reason) => native.push((at, reason)),
            }
        }
        resolved.leave_native(spec, native);
        let sources = candidates.into_iter().map(|c| c.map(|c| c.source)).collect();
        Ok(OpenedGraph { path, model, resolved, sources, weights })
    }
}
