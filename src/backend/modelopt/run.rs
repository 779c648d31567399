//! From a plan to a quantized model: calibrate, rewrite, compare.

use std::{collections::BTreeSet, path::Path};

use super::{calibrate, data::Data, float16, opened::Opened, rewrite};
use crate::{
    backend::{
        BackendError, Outcome, Prediction, Prepared, RunInputs,
        evaluate::{self, Compared, Samples, Split},
        graph::{memory, weights},
        sensitivity::{self, Subject},
    },
    control::Control,
    engine::Session,
    spec::{Objection, Resolved},
};

impl Prepared for Opened {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn objections(&self, inputs: &RunInputs) -> Vec<Objection> {
        inputs.calibration.iter().filter_map(|source| self.no_mask(source)).collect()
    }

    fn predict(&self, inputs: &RunInputs) -> Result<Prediction, BackendError> {
        // A constant that several layers read is in the file once, and then once for each way of holding it.
        let mut seen = BTreeSet::new();
        let planned = self.candidates.iter().zip(&self.resolved.plan.layers);
        let sizes = planned.filter_map(|(candidate, layer)| {
            let (candidate, dtype) = (candidate.as_ref()?, layer.weights?);
            let cells = candidate.shape.dims().get(candidate.axis).copied().unwrap_or(1);
            let (now, then) = memory::weight(candidate.shape.elements(), cells, candidate.format, dtype);
            let now = if seen.insert((&candidate.source, None)) { now } else { 0 };
            let then = if seen.insert((&candidate.source, Some((dtype, layer.form)))) { then } else { 0 };
            Some((now, then))
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
        let earlier = inputs.calibration.as_ref().map(|source| calibrate::earlier(&source.path)).transpose()?.flatten();
        if let Some((record, source)) = earlier.as_ref().zip(inputs.calibration.as_ref()) {
            self.check_histograms(record)
                .map_err(|error| BackendError::Calibration { path: source.path.clone(), source: error })?;
        }
        let source = inputs.calibration.as_ref().filter(|_| earlier.is_none());
        let calibration = source.map(|source| evaluate::open(source).map(|data| (source, data))).transpose()?;
        let held_out = calibration.as_ref().map(|(source, data)| {
            (*source, data, Split::new(source, data, inputs.evaluation.is_none(), self.fixed_batch()))
        });
        let floats = match &held_out {
            Some((source, data, split)) => {
                float16::observe(self, (source, data, &split.calibration), inputs, out, control)?
            }
            None => None,
        };
        float16::keep_in_f32(self, floats.as_ref(), earlier.as_ref(), control)?;
        self.preparation.tell(control);
        let watched = self.watched();
        let mut predicted = floats.as_ref().map(|floats| floats.peak);
        let observed = match &held_out {
            _ if watched.is_empty() => None,
            Some((source, data, split)) => {
                let (batch, peak) = memory::fit(&self.model, data, source.batch_size, &inputs.engine, control)?;
                predicted = predicted.max(Some(peak));
                Some(Data::Given { source, data, samples: split.calibration.clone(), batch })
            }
            None => self.options.random.then_some(Data::Random),
        };
        let engine_used = observed.is_some() || floats.is_some();
        let record = match observed {
            Some(data) => Some(calibrate::observe(self, &watched, &data, inputs, out, control)?),
            None => earlier,
        };
        let record = float16::join(record, floats);
        let mut rewritten = rewrite::rewrite(self, record.as_ref(), inputs, out, control)?;
        self.preparation.constants_duplicated = std::mem::take(&mut rewritten.copied);
        let placement = self.options.placement;
        let compared = Compared {
            original: &self.path,
            prepared: &self.model,
            quantized: &out.join(weights::FILE),
            for_onnxruntime: placement.is_unsigned() && !placement.in_openvino,
            layers: &self.resolved.plan.layers,
            out,
        };
        let mut samples = Samples::choose(inputs, held_out, control)?;
        if let Some(samples) = &mut samples {
            let (batch, peak) = memory::fit(&self.model, samples.data(), samples.batch, &inputs.engine, control)?;
            samples.batch = batch;
            predicted = predicted.max(Some(peak));
        }
        let openvino = inputs.engine.openvino.as_deref().filter(|_| placement.in_openvino);
        let in_openvino = match openvino {
            Some(library) => evaluate::in_openvino(library, &compared, inputs, samples.as_ref(), control)?,
            None => None,
        };
        let timed_in_onnxruntime = placement.is_unsigned() && in_openvino.is_none();
        let (mut comparison, mut sensitivity, mut simulated) = (None, None, false);
        if let Some(samples) = &samples {
            let evaluated = inputs.evaluation.is_some();
            if evaluated {
                comparison = Some(evaluate::compare(&compared, inputs, samples, control)?);
            }
            let tries = self.options.sensitivity_layers(evaluated);
            let outputs = self.outputs(rewritten.layers.iter().map(|(layer, _)| *layer));
            let subject = Subject { model: &self.model, inputs: &rewritten.steps, outputs };
            let layers = &mut rewritten.layers;
            let studied = sensitivity::study(&subject, layers, &compared, samples, tries, inputs, control)?;
            sensitivity = studied.sensitivity;
            if comparison.is_none() {
                simulated = studied.comparison.is_some();
                let compare = || evaluate::compare(&compared, inputs, samples, control);
                comparison = Some(studied.comparison.map_or_else(compare, Ok)?);
            }
        }
        let mut in_onnxruntime = None;
        if timed_in_onnxruntime {
            if comparison.is_none() {
                evaluate::check_fusions(&compared, inputs, control);
            }
            in_onnxruntime = evaluate::in_onnxruntime(&compared, inputs, samples.as_ref(), control)?;
        }
        // Asking a library that no step has loaded would load another one, or panic.
        let engine_used = engine_used || comparison.is_some() || timed_in_onnxruntime || openvino.is_some();
        Ok(Outcome {
            bytes_before: self.model.file_bytes,
            bytes_after: rewritten.bytes(),
            files: rewritten.files.into_iter().map(|(name, _)| name).collect(),
            layers: rewritten.layers.into_iter().map(|(_, layer)| layer).collect(),
            comparison,
            latency: in_openvino.or(in_onnxruntime),
            simulated,
            sensitivity,
            predicted_peak_bytes: predicted,
            calibration_random: record.as_ref().is_some_and(|record| record.random),
            mask_input: record.as_ref().and_then(|record| record.mask_input.clone()),
            samples_calibrated: record.as_ref().map(|record| record.samples),
            preparation: Some(serde_json::json!(self.preparation)),
            calibration: record.map(|record| serde_json::json!(record)),
            engine_version: engine_used.then(Session::engine_version),
        })
    }
}
