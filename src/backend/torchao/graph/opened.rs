//! [`OpenedGraph`]: a graph with the plan for each of its layers.

use std::path::{Path, PathBuf};

use super::choose::{Constants, choose};
use crate::{
    backend::{
        BackendError,
        graph::{
            inventory::{self, Inventory},
            tables::add_tables,
        },
        torchao::options::Options,
    },
    fault::WarningCode,
    model::onnx::Model,
    numeric::FloatFormat,
    spec::{Layer, LayerRule, Objection, ObjectionCode, QuantizeSpec, Reason, Resolved, Support, Warning, resolve},
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
    /// The constants to be quantized.
    pub(super) chosen: Constants,
}

impl OpenedGraph {
    /// Resolves the rules against the graph's nodes.
    pub(in crate::backend::torchao) fn new(spec: &QuantizeSpec, path: &Path) -> Result<Self, BackendError> {
        let (path, model) = (path.to_owned(), Model::read(path)?);
        let mut inventory = inventory::inventory(model.graph(), &FORMATS, &[])?;
        add_tables(model.graph(), &mut inventory)?;
        let Inventory { mut layers, candidates, .. } = inventory;
        for layer in &mut layers {
            // As in a checkpoint, a bare `*` takes Linear layers.
            if layer.support == Support::Yes && layer.classes.first().is_some_and(|class| class.starts_with("Conv")) {
                layer.support = Support::IfNamed(Reason::ConvolutionNotNamed);
            }
        }
        let mut resolved = resolve(spec, &layers);
        resolved.leave_calibrated_native();
        resolved.objections.extend(declared(spec, &layers, &resolved));
        let options = Options::new(spec);
        if options.layout.is_some() {
            let note = "a graph has one layout: initializers behind DequantizeLinear";
            resolved.warnings.push(Warning::at(spec.at("backend_kwargs/layout"), WarningCode::FieldIgnored, note));
        }
        resolved.objections.extend(spec.layers.iter().filter_map(microscaled));
        let chosen = choose(spec, &options, model.graph(), &candidates, &mut resolved);
        let sources = candidates.into_iter().map(|c| c.map(|c| c.source)).collect();
        Ok(OpenedGraph { path, model, resolved, sources, chosen })
    }
}

/// The objection to activations that a runtime is to round: a graph says itself what is computed, and says nothing of that.
fn declared(spec: &QuantizeSpec, layers: &[Layer], resolved: &Resolved) -> Option<Objection> {
    let (layer, _) = layers.iter().zip(&resolved.plan.layers).find(|(_, plan)| plan.dynamic)?;
    let pointer = layer.activations_rule(spec)?.at("activations");
    let message = "an ONNX graph says itself what is computed, and backend `torchao` changes its weights alone";
    let hint = "use backend `modelopt` with backend_kwargs.placement `onnxruntime`, or take `activations` out";
    Some(Objection::new(pointer, ObjectionCode::UnsupportedActivations, message).hint(hint))
}

/// The objection to a rule that asks for a dtype which graphs are not given.
fn microscaled(rule: &LayerRule) -> Option<Objection> {
    let dtype = rule.weights?.dtype.dtype().filter(|dtype| dtype.spec().groups.are_fixed())?;
    let pointer = rule.at("weights/dtype");
    let message = format!("{dtype} is for checkpoints: no runtime of ONNX graphs computes with it yet");
    let hint = "use `int4` or `fp8_e4m3fn`, or quantize the checkpoint that the graph was exported from";
    Some(Objection::new(pointer, ObjectionCode::UnsupportedDtype, message).hint(hint))
}
