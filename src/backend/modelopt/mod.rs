//! Backend `modelopt`: static PTQ of ONNX models.
//!
//! One calibration pass with observers in the graph, then weights become low precision initializers and activations
//! get Q/DQ pairs at the inputs of Conv, Gemm and MatMul. The model is compared with the original on evaluation data.

mod calibrate;
mod rewrite;

use std::path::Path;

use super::{
    Backend, BackendError, BackendOption, Capabilities, OptionKind, Outcome, Prepared, RunInputs, evaluate,
    onnx_inventory::{self as inventory, Candidate},
};
use crate::{
    calibration::{self, CALIBRATORS, Calibrator},
    control::Control,
    engine::Session,
    model::onnx::{Model, OnnxError},
    numeric::{DType, FloatFormat},
    report::LayerReport,
    spec::{Decision, Mode, QuantizeSpec, Resolved, resolve},
};

/// Static PTQ.
#[derive(Debug)]
pub(super) struct ModelOpt;

const REDUCE_RANGE: &str = "reduce_range";

static CAPABILITIES: Capabilities = Capabilities {
    name: "modelopt",
    aliases: &["modelopt.onnx", "modelopt.pytorch", "modelopt_onnx"],
    summary: "static PTQ of ONNX models: activation ranges from calibration data, Q/DQ nodes in the graph",
    mode: Mode::StaticPtq,
    formats: &["onnx"],
    weight_dtypes: &[DType::Int8],
    activation_dtypes: &[DType::Int8],
    options: &[BackendOption {
        name: REDUCE_RANGE,
        summary: "weights use 7 of their 8 bits, so that integer kernels of x86 CPUs without VNNI do not saturate",
        kind: OptionKind::Switch,
        default: "false",
    }],
};

impl Backend for ModelOpt {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
        let model = Model::read(model)?;
        let (layers, candidates) = inventory::inventory(&model, &[FloatFormat::F32])?;
        let resolved = resolve(spec, &layers);
        let wanted = spec.algorithm.as_deref().and_then(calibration::find);
        let calibrator = wanted.unwrap_or(&CALIBRATORS[0]);
        let reduce_range = spec.backend_kwargs.get(REDUCE_RANGE).and_then(|v| v.as_bool()).unwrap_or(false);
        Ok(Box::new(Opened { model, candidates, resolved, calibrator, reduce_range }))
    }
}

struct Opened {
    model: Model,
    /// One for each layer of the plan; `None` where the node could not be quantized.
    candidates: Vec<Option<Candidate>>,
    resolved: Resolved,
    calibrator: &'static Calibrator,
    /// Whether int8 weights leave one bit unused.
    reduce_range: bool,
}

impl Prepared for Opened {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        self.check_opset()?;
        let calibration = inputs.calibration.as_ref().map(|source| evaluate::open(source).map(|data| (source, data)));
        let calibration = calibration.transpose()?;
        let observed = match &calibration {
            Some((source, data)) if self.observes() => Some(calibrate::observe(self, data, source, inputs, control)?),
            _ => None,
        };
        let ranges = observed.as_ref().map(|o| &o.ranges);
        let rewritten = rewrite::rewrite(self, ranges, out, control)?;
        let comparison = evaluate::compare(&self.model, &rewritten.bytes, inputs, calibration.as_ref(), control)?;
        // Asking a library that no step has loaded would load another one, or panic.
        let engine_used = observed.is_some() || comparison.is_some();
        Ok(Outcome {
            files: vec![rewrite::FILE.to_owned()],
            bytes_before: self.model.file_bytes,
            bytes_after: rewritten.bytes.len() as u64,
            layers: rewritten.layers,
            comparison,
            samples_calibrated: observed.as_ref().map(|o| o.samples),
            calibration: observed.map(|o| o.to_json(self.calibrator.name)),
            engine_version: engine_used.then(Session::engine_version),
        })
    }
}

impl Opened {
    fn check_opset(&self) -> Result<(), BackendError> {
        let dtypes = self.resolved.plan.layers.iter().flat_map(|l| [l.weights, l.activations]).flatten();
        let needed = dtypes.map(|dtype| dtype.spec().onnx_opset).max().unwrap_or(0);
        let found = self.model.opset();
        if found < needed { Err(OnnxError::Opset { found, needed }.into()) } else { Ok(()) }
    }

    /// The layers that the plan quantizes: position in the plan, and where they are in the graph.
    fn quantized(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let plans = self.resolved.plan.layers.iter().enumerate();
        plans
            .filter(|(_, plan)| plan.decision == Decision::Quantize)
            .filter_map(|(i, _)| Some((i, self.candidates[i].as_ref()?)))
    }

    /// Whether any activation is to be quantized.
    fn observes(&self) -> bool {
        self.quantized().any(|(i, _)| self.resolved.plan.layers[i].activations.is_some())
    }

    /// Reports for the layers that could be quantized, as planned.
    fn planned(&self) -> Vec<(usize, LayerReport)> {
        let plans = self.resolved.plan.layers.iter().enumerate();
        plans
            .filter(|(i, plan)| self.candidates[*i].is_some() || inventory::is_compute(&plan.op_type))
            .map(|(i, plan)| (i, LayerReport::planned(plan)))
            .collect()
    }
}
