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
mod reuse;
mod rewrite;
mod sensitivity;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use self::{
    calibrate::Data,
    options::{FORMATS, OPTIONS, Options},
    placement::QdqSite,
    prepare::Preparation,
};
use super::{
    Backend, BackendError, Capabilities, Outcome, Prediction, Prepared, RunInputs,
    evaluate::{self, Compared, Samples, Split},
    graph::{
        inventory::{self, Candidate, Inventory},
        memory, weights,
    },
};
use crate::{
    control::Control,
    engine::Session,
    model::onnx::{Model, NodeId, dimensions},
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
    needs_engine: true,
};

impl Backend for ModelOpt {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn calibrates_on_random(&self, spec: &QuantizeSpec) -> bool {
        Options::new(spec).random
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
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
        Ok(Box::new(Opened { path, model, preparation, candidates, nodes, sites, joined, resolved, options }))
    }
}

struct Opened {
    /// The model as it came.
    path: PathBuf,
    /// The model that is quantized.
    model: Model,
    preparation: Preparation,
    /// One for each layer of the plan; `None` where the node has no weight that can be quantized.
    candidates: Vec<Option<Candidate>>,
    /// The node of each layer.
    nodes: Vec<Option<NodeId>>,
    /// The inputs that get a Q/DQ pair.
    sites: Vec<QdqSite>,
    /// Tensors that are to share a range.
    joined: Vec<BTreeSet<String>>,
    resolved: Resolved,
    options: Options,
}

impl Prepared for Opened {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn predict(&self, inputs: &RunInputs) -> Result<Prediction, BackendError> {
        let planned = self.candidates.iter().zip(&self.resolved.plan.layers);
        let sizes = planned.filter_map(|(candidate, layer)| {
            let (candidate, dtype) = (candidate.as_ref()?, layer.weights?);
            let cells = candidate.shape.dims().get(candidate.axis).copied().unwrap_or(1);
            Some(memory::weight(candidate.shape.elements(), cells, candidate.format, dtype))
        });
        let data = inputs.calibration.as_ref().or(inputs.evaluation.as_ref().map(|evaluation| &evaluation.data));
        let data = data.filter(|source| !matches!(calibrate::earlier(&source.path), Ok(Some(_))));
        let peak = data.map(|source| {
            let data = evaluate::open(source)?;
            Ok::<_, BackendError>(memory::predict(&self.model, &data, source.batch_size as u64))
        });
        let weights = Some(memory::sizes(self.model.file_bytes, sizes));
        Ok(Prediction { weights, peak: peak.transpose()? })
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        self.preparation.tell(control);
        let earlier = inputs.calibration.as_ref().map(|source| calibrate::earlier(&source.path)).transpose()?.flatten();
        let source = inputs.calibration.as_ref().filter(|_| earlier.is_none());
        let calibration = source.map(|source| evaluate::open(source).map(|data| (source, data))).transpose()?;
        let held_out = calibration.as_ref().map(|(source, data)| {
            (*source, data, Split::new(source, data, inputs.evaluation.is_none(), self.fixed_batch()))
        });
        let watched = self.watched();
        let mut predicted = None;
        let observed = match &held_out {
            _ if watched.is_empty() => None,
            Some((source, data, split)) => {
                let (batch, peak) = memory::fit(&self.model, data, source.batch_size, &inputs.engine, control)?;
                predicted = Some(peak);
                Some(Data::Given { source, data, samples: split.calibration.clone(), batch })
            }
            None => self.options.random.then_some(Data::Random),
        };
        let engine_used = observed.is_some();
        let record = match observed {
            Some(data) => Some(calibrate::observe(self, &watched, &data, inputs, out, control)?),
            None => earlier,
        };
        let mut rewritten = rewrite::rewrite(self, record.as_ref(), inputs, out, control)?;
        self.preparation.constants_duplicated = std::mem::take(&mut rewritten.copied);
        let compared =
            Compared { original: &self.path, prepared: &self.model, quantized: &out.join(weights::FILE), out };
        let mut samples = Samples::choose(inputs, held_out, control)?;
        if let Some(samples) = &mut samples {
            let (batch, peak) = memory::fit(&self.model, samples.data(), samples.batch, &inputs.engine, control)?;
            samples.batch = batch;
            predicted = predicted.max(Some(peak));
        }
        let (mut comparison, mut sensitivity, mut simulated) = (None, None, false);
        if let Some(samples) = &samples {
            let evaluated = inputs.evaluation.is_some();
            if evaluated {
                comparison = Some(evaluate::compare(&compared, inputs, samples, control)?);
            }
            let tries = self.options.sensitivity_layers(evaluated);
            let quantized = (&rewritten.steps[..], &mut rewritten.layers[..]);
            let studied = sensitivity::study(self, quantized, &compared, samples, tries, inputs, control)?;
            sensitivity = studied.sensitivity;
            if comparison.is_none() {
                simulated = studied.comparison.is_some();
                let compare = || evaluate::compare(&compared, inputs, samples, control);
                comparison = Some(studied.comparison.map_or_else(compare, Ok)?);
            }
        }
        // Asking a library that no step has loaded would load another one, or panic.
        let engine_used = engine_used || comparison.is_some();
        Ok(Outcome {
            bytes_before: self.model.file_bytes,
            bytes_after: rewritten.bytes(),
            files: rewritten.files.into_iter().map(|(name, _)| name).collect(),
            layers: rewritten.layers.into_iter().map(|(_, layer)| layer).collect(),
            comparison,
            simulated,
            sensitivity,
            predicted_peak_bytes: predicted,
            calibration_random: record.as_ref().is_some_and(|record| record.random),
            samples_calibrated: record.as_ref().map(|record| record.samples),
            preparation: Some(serde_json::json!(self.preparation)),
            calibration: record.map(|record| serde_json::json!(record)),
            engine_version: engine_used.then(Session::engine_version),
        })
    }
}

impl Opened {
    /// The batch of a model that takes but one.
    fn fixed_batch(&self) -> Option<usize> {
        let graph = self.model.graph();
        // Old models list their constants among the inputs.
        let constant = |name: &Option<String>| graph.initializers().any(|tensor| tensor.name == *name);
        let inputs = graph.inputs().iter().filter(|input| !constant(&input.name)).filter_map(dimensions);
        inputs.filter_map(|dims| usize::try_from((*dims.first()?)?).ok()).next()
    }

    /// Whether a layer is one that users want to read about: it could be quantized, or is of a kind that often is.
    fn is_reported(&self, layer: usize) -> bool {
        let plan = &self.resolved.plan.layers[layer];
        self.candidates[layer].is_some() || inventory::is_compute(&plan.op_type) || plan.decision == Decision::Quantize
    }
}
