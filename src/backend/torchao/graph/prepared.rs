//! What a graph is asked once it is open: to be quantized, and what to expect of that.

use std::{collections::BTreeMap, path::Path};

use super::{choose::Constants, opened::OpenedGraph};
use crate::{
    backend::{
        BackendError, Outcome, Prediction, Prepared, RunInputs,
        evaluate::{self, Compared, Samples},
        graph::{inventory::is_compute, memory, weights},
    },
    control::Control,
    engine::Session,
    fault::{WarningCode, few},
    model::onnx::upgrade,
    report::{LayerReport, WeightReport},
    spec::{Decision, Reason, Resolved},
};

impl Prepared for OpenedGraph {
    fn predict(&self, inputs: &RunInputs) -> Result<Prediction, BackendError> {
        let sizes = self.chosen.weights.values().map(|weight| {
            let (rows, columns) = weight.grid.cells();
            memory::weight(weight.grid.whole().elements(), rows * columns, weight.format, weight.scheme.dtype)
        });
        let peak = inputs.evaluation.as_ref().map(|evaluation| {
            let data = evaluate::open(&evaluation.data)?;
            Ok::<_, BackendError>(memory::predict(&self.model, &data, evaluation.data.batch_size as u64))
        });
        let weights = Some(memory::sizes(self.model.file_bytes, sizes));
        Ok(Prediction { weights, peak: peak.transpose()? })
    }

    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let mut model = self.model.clone();
        let upgraded = upgrade(&mut model, self.chosen.needed_opset())?;
        if !upgraded.is_empty() {
            let nodes: Vec<String> = upgraded.iter().map(|(name, op_type)| format!("{name} ({op_type})")).collect();
            control.warn(WarningCode::OpsetUpgraded, format!("carried to opset {}: {}", model.opset(), few(&nodes)));
        }
        let Constants { weights, forms } = &self.chosen;
        let wanted = weights::Wanted { schemes: weights, forms, given: &BTreeMap::new() };
        let written = weights::write(&self.model, model, wanted, inputs, out, control)?;
        let mut outcome = Outcome {
            bytes_before: self.model.file_bytes,
            bytes_after: written.bytes(),
            layers: self.report(written.weights),
            files: written.files.into_iter().map(|(name, _)| name).collect(),
            ..Outcome::default()
        };
        self.evaluate(inputs, out, &mut outcome, control)?;
        Ok(outcome)
    }
}

impl OpenedGraph {
    /// The layers that compute with a weight. A constant that several share is reported with the first.
    fn report(&self, mut measured: BTreeMap<String, WeightReport>) -> Vec<LayerReport> {
        let mut layers = Vec::new();
        for (plan, source) in self.resolved.plan.layers.iter().zip(&self.sources) {
            if source.is_none() && !is_compute(&plan.op_type) {
                continue;
            }
            let quantized = plan.decision == Decision::Quantize;
            let weights = source.as_deref().filter(|_| quantized).and_then(|source| measured.remove(source));
            let reason = if quantized && weights.is_none() { Reason::Tied } else { plan.reason };
            layers.push(LayerReport { weights, reason, ..LayerReport::planned(plan) });
        }
        layers
    }

    /// Runs both models on the evaluation data, if there is any.
    fn evaluate(
        &self,
        inputs: &RunInputs,
        out: &Path,
        outcome: &mut Outcome,
        control: &Control<'_>,
    ) -> Result<(), BackendError> {
        if inputs.evaluation.is_none() {
            return Ok(());
        }
        let quantized = &out.join(weights::FILE);
        let layers = &self.resolved.plan.layers;
        let compared =
            Compared { original: &self.path, prepared: &self.model, quantized, for_onnxruntime: true, layers, out };
        let mut samples = Samples::choose(inputs, None, control)?;
        if let Some(samples) = &mut samples {
            let (batch, peak) = memory::fit(&self.model, samples.data(), samples.batch, &inputs.engine, control)?;
            (samples.batch, outcome.predicted_peak_bytes) = (batch, Some(peak));
        }
        outcome.comparison =
            samples.as_ref().map(|samples| evaluate::compare(&compared, inputs, samples, control)).transpose()?;
        outcome.latency = evaluate::in_onnxruntime(&compared, inputs, samples.as_ref(), control)?;
        outcome.engine_version = outcome.comparison.is_some().then(Session::engine_version);
        Ok(())
    }
}
