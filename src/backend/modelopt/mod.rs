//! Backend `modelopt`: static PTQ of ONNX models.
//!
//! The graph is prepared, then one calibration pass with observers in it tells the ranges; weights become low precision
//! initializers and activations get Q/DQ pairs. The model is compared with the original on evaluation data.

mod calibrate;
mod constants;
mod options;
mod placement;
mod prepare;
mod ranges;
mod rewrite;

use std::{collections::BTreeMap, path::Path};

use self::{
    options::{FORMATS, OPTIONS, Options},
    placement::Edge,
    prepare::Preparation,
};
use super::{
    Backend, BackendError, Capabilities, Outcome, Prepared, RunInputs,
    onnx::{
        evaluate,
        inventory::{self, Candidate, Inventory},
        weights,
    },
    stored::Chosen,
};
use crate::{
    control::Control,
    engine::Session,
    model::onnx::Model,
    numeric::{DType, FloatFormat},
    spec::{Decision, Mode, QuantizeSpec, Resolved, resolve},
};

/// Static PTQ.
#[derive(Debug)]
pub(super) struct ModelOpt;

static CAPABILITIES: Capabilities = Capabilities {
    name: "modelopt",
    aliases: &["modelopt.onnx", "modelopt.pytorch", "modelopt_onnx"],
    summary: "static PTQ of ONNX models: activation ranges from calibration data, Q/DQ nodes in the graph",
    mode: Mode::StaticPtq,
    formats: &["onnx"],
    weight_dtypes: &[DType::Int8, DType::Int4, DType::Fp8E4m3fn, DType::Fp8E5m2],
    activation_dtypes: &[DType::Int8, DType::Fp8E4m3fn, DType::Fp8E5m2],
    options: &OPTIONS,
};

impl Backend for ModelOpt {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
        let original = Model::read(model)?;
        let options = Options::new(spec);
        let mut model = original.clone();
        let half = model.graph().initializer.iter().any(|t| t.data_type == Some(FloatFormat::F16.onnx()));
        let mut preparation = prepare::prepare(&mut model, Options::needed_opset(spec, half), options.fold_batch_norm)?;
        let inputs_only = options.placement.inputs_only();
        let Inventory { layers, mut candidates, nodes } = inventory::inventory(&model, &FORMATS, inputs_only)?;
        let mut resolved = resolve(spec, &layers);
        let (chosen, copied) = constants::choose(spec, &options, model.graph_mut(), &mut candidates, &mut resolved)?;
        preparation.constants_duplicated = copied;
        let edges = placement::place(spec, &options, model.graph(), &candidates, &nodes, &mut resolved)?;
        Ok(Box::new(Opened { original, model, preparation, candidates, chosen, edges, resolved, options }))
    }
}

struct Opened {
    /// The model as it came.
    original: Model,
    /// The model that is quantized.
    model: Model,
    preparation: Preparation,
    /// One for each layer of the plan; `None` where the node has no weight that can be quantized.
    candidates: Vec<Option<Candidate>>,
    /// How each constant is quantized.
    chosen: BTreeMap<String, Chosen>,
    /// The inputs that get a Q/DQ pair.
    edges: Vec<Edge>,
    resolved: Resolved,
    options: Options,
}

impl Prepared for Opened {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        self.preparation.tell(control);
        let calibration = inputs.calibration.as_ref().map(|source| evaluate::open(source).map(|data| (source, data)));
        let calibration = calibration.transpose()?;
        let watched = self.watched();
        let record = match &calibration {
            Some((source, data)) if !watched.is_empty() => {
                Some(calibrate::observe(self, &watched, data, source, inputs, control)?)
            }
            _ => None,
        };
        let rewritten = rewrite::rewrite(self, record.as_ref(), inputs, out, control)?;
        let quantized = Model::read(&out.join(weights::FILE))?.to_bytes()?;
        let comparison =
            evaluate::compare((&self.original, &self.model), &quantized, inputs, calibration.as_ref(), control)?;
        // Asking a library that no step has loaded would load another one, or panic.
        let engine_used = record.is_some() || comparison.is_some();
        Ok(Outcome {
            bytes_before: self.original.file_bytes,
            bytes_after: rewritten.bytes(),
            files: rewritten.files.into_iter().map(|(name, _)| name).collect(),
            layers: rewritten.layers,
            comparison,
            samples_calibrated: record.as_ref().map(|record| record.samples),
            calibration: record.map(|record| serde_json::json!(record)),
            engine_version: engine_used.then(Session::engine_version),
        })
    }
}

impl Opened {
    /// Whether a layer is one that users want to read about: it could be quantized, or is of a kind that often is.
    fn is_reported(&self, layer: usize) -> bool {
        let plan = &self.resolved.plan.layers[layer];
        self.candidates[layer].is_some() || inventory::is_compute(&plan.op_type) || plan.decision == Decision::Quantize
    }
}
