//! Where the result's errors come from: each layer's output beside the original's, and what single layers cost.
//!
//! One session computes the prepared graph with a change at every input that the result has in low precision. With all
//! changes off it is the original, with all on the result, and with some on what the result would be without the rest. The
//! changes run the same arithmetic as the file, by our own code; a test holds the two against each other.

mod fake_quant;
mod probe;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use self::probe::Probe;
use super::{
    Opened,
    options::Options,
    rewrite::{QuantizedInput, QuantizedInputKind},
};
use crate::{
    backend::{
        BackendError, RunInputs,
        evaluate::{Compared, Samples, check_file},
        graph::weights::EngineFile,
    },
    control::{Control, Phase},
    engine::{
        Batch, Gate, Gates, Output, Session, Slots, TensorTransform, TransformedInput, with_observers, with_transforms,
    },
    fault::WarningCode,
    numeric::FloatFormat,
    quant::ErrorStats,
    report::{Comparison, LayerReport, LayerSensitivity, Sensitivity, Suggestion},
    spec::{Decision, Pattern},
};

/// The most samples that layers are compared on.
const SAMPLES: usize = 16;
/// The most samples that single layers are tried on.
const SAMPLES_ALONE: usize = 8;
/// The most layers that a suggestion names.
const MOST_SUGGESTED: usize = 3;
/// The share of the noise from which on a layer stands out.
const STANDS_OUT: f64 = 0.15;
/// The gain in dB from which on a suggestion is worth its bytes.
const WORTH_IT: f64 = 0.5;

/// A session of the graph with its changes.
struct Study<'a> {
    session: Session,
    slots: Slots<Probe>,
    gates: Gates,
    /// The layer of each slot.
    probed: Vec<usize>,
    steps: &'a [QuantizedInput],
    seen: Vec<Option<Arc<Mutex<ErrorStats>>>>,
    batches: Vec<Batch>,
    /// What the original gives for each batch.
    before: Vec<Vec<Output>>,
    /// What the result gives.
    after: Vec<Vec<Output>>,
}

/// What was found besides what is in the reports of the layers.
#[derive(Default)]
pub(super) struct Studied {
    /// The outputs of the simulated result beside the original's; nothing where the engine does not run the simulation.
    pub(super) comparison: Option<Comparison>,
    /// What single layers cost, if any were tried.
    pub(super) sensitivity: Option<Sensitivity>,
}

/// Compares every layer's output, adds what is found to the reports, and tries up to `tries` layers alone. What the engine
/// cannot run is a warning: the result stands without these figures.
pub(super) fn study(
    opened: &Opened,
    (steps, layers): (&[QuantizedInput], &mut [(usize, LayerReport)]),
    models: &Compared<'_>,
    samples: &Samples<'_>,
    tries: usize,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Studied, BackendError> {
    if steps.is_empty() {
        return Ok(Studied::default());
    }
    let studied = Study::new(opened, steps, layers, samples, inputs, models.out).and_then(|mut study| {
        let (comparison, all) = study.compare(layers, samples, control)?;
        if inputs.evaluation.is_none() {
            // Elsewhere the file itself is what is compared. A batch is enough to see whether it does what it should.
            if let (Some(batch), Some(exact)) = (study.batches.first(), study.after.first()) {
                check_file(models, inputs, batch, exact, control)?;
            }
        }
        let sensitivity = (tries > 0).then(|| study.sensitivity(layers, all, tries, control)).transpose()?;
        Ok(Studied { comparison: Some(comparison), sensitivity })
    });
    match studied {
        Err(BackendError::Engine(error)) => {
            let Some(reason) = error.reason() else { return Err(error.into()) };
            control.warn(
                WarningCode::LayersNotCompared,
                format!("the engine does not run the graph with changes: {reason}"),
            );
            Ok(Studied::default())
        }
        result => result,
    }
}

impl<'a> Study<'a> {
    fn new(
        opened: &Opened,
        steps: &'a [QuantizedInput],
        layers: &[(usize, LayerReport)],
        samples: &Samples<'_>,
        inputs: &RunInputs,
        out: &Path,
    ) -> Result<Self, BackendError> {
        let mut changes: Vec<Box<dyn TensorTransform>> = Vec::new();
        let (mut places, mut seen) = (Vec::new(), Vec::new());
        for step in steps {
            places.push(TransformedInput { at: step.at, format: step.format });
            match &step.kind {
                QuantizedInputKind::Activation { scale, dtype, .. } => {
                    let sums = Arc::new(Mutex::new(ErrorStats::default()));
                    seen.push(Some(Arc::clone(&sums)));
                    let scheme = Options::activation_scheme(*dtype);
                    changes.push(Box::new(fake_quant::Activation { scheme, scale: *scale, seen: sums }));
                }
                QuantizedInputKind::Weight(chosen) => {
                    seen.push(None);
                    changes.push(Box::new(fake_quant::Weight(chosen.clone())));
                }
            }
        }
        let graph = opened.model.graph();
        let (mut watched, mut probed) = (Vec::new(), Vec::new());
        for (number, (at, _)) in layers.iter().enumerate() {
            // A layer in a branch or a loop has no node in the main graph.
            if let Some(output) = opened.nodes[*at].and_then(|node| graph.node(node).output.first()) {
                watched.push((output, opened.layer_format(*at)));
                probed.push(number);
            }
        }
        let changed = with_observers(&with_transforms(&opened.model, &places), &watched);
        let slots = Slots::new(watched.iter().map(|_| Probe::default()));
        let gates = Gates::new(changes);
        let file = EngineFile::write(&changed, out)?;
        let session = Session::load_changed(&file.path(), &slots, &gates, &inputs.engine)?;
        drop(file);
        let binding = samples.bind_few(&session, SAMPLES)?;
        let batches = binding.batches().into_iter().map(|range| binding.read(range)).collect::<Result<_, _>>()?;
        Ok(Study { session, slots, gates, probed, steps, seen, batches, before: vec![], after: vec![] })
    }

    /// The original and the result, layer by layer and as a whole; the error of all outputs comes second.
    fn compare(
        &mut self,
        layers: &mut [(usize, LayerReport)],
        samples: &Samples<'_>,
        control: &Control<'_>,
    ) -> Result<(Comparison, ErrorStats), BackendError> {
        let total = 2 * self.batches.iter().map(|batch| batch.samples.len() as u64).sum::<u64>();
        let meter = control.phase(Phase::Evaluating, total, "samples");
        self.gates.set(|slot| if self.seen[slot].is_some() { Gate::Watch } else { Gate::Off });
        for batch in &self.batches {
            self.before.push(self.session.run(batch)?);
            meter.advance(batch.samples.len() as u64)?;
        }
        // Now, while they have seen the original's values alone.
        for (step, seen) in self.steps.iter().zip(&self.seen) {
            let QuantizedInputKind::Activation { report, .. } = step.kind else { continue };
            let Some(seen) = seen else { continue };
            let error = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            let activations = layers.iter_mut().find(|(at, _)| *at == step.layer).map(|(_, l)| &mut l.activations);
            if let Some(activation) = activations.and_then(|all| all.get_mut(report)) {
                activation.sqnr_db = error.sqnr_db();
                activation.beyond_fraction = error.fraction(error.clipped);
            }
        }
        self.slots.each(Probe::compare);
        self.gates.set(|_| Gate::On);
        let mut comparison = Comparison::default();
        for (batch, before) in self.batches.iter().zip(&self.before) {
            let after = self.session.run(batch)?;
            samples.add(&mut comparison, &batch.samples, before, &after);
            self.after.push(after);
            meter.advance(batch.samples.len() as u64)?;
        }
        let all = comparison.total();
        let errors = self.slots.each(|probe| std::mem::take(&mut probe.error));
        for (number, error) in self.probed.iter().zip(errors) {
            layers[*number].1.output_sqnr_db = error.sqnr_db();
        }
        Ok((comparison, all))
    }

    /// The error of the outputs over the first `batches` with the steps of some layers made and no others.
    fn noise(
        &mut self,
        made: impl Fn(usize) -> bool,
        batches: usize,
        control: &Control<'_>,
    ) -> Result<ErrorStats, BackendError> {
        self.gates.set(|slot| if made(self.steps[slot].layer) { Gate::On } else { Gate::Off });
        let mut error = ErrorStats::default();
        for (batch, before) in self.batches.iter().zip(&self.before).take(batches) {
            control.checkpoint()?;
            for (before, after) in before.iter().zip(self.session.run(batch)?) {
                before.values.iter().zip(&after.values).for_each(|(b, a)| error.add(*b, *a));
            }
        }
        Ok(error)
    }

    fn sensitivity(
        &mut self,
        layers: &[(usize, LayerReport)],
        all: ErrorStats,
        tries: usize,
        control: &Control<'_>,
    ) -> Result<Sensitivity, BackendError> {
        let mut few = 0;
        let mut samples = 0;
        while few < self.batches.len() && samples < SAMPLES_ALONE {
            samples += self.batches[few].samples.len();
            few += 1;
        }
        // The layer whose own inputs suffer most is the first suspect.
        let mut suspects: Vec<(f64, usize)> = (layers.iter().enumerate())
            .filter(|(_, (_, layer))| layer.decision == Decision::Quantize)
            .map(|(number, (_, layer))| (own_noise(layer), number))
            .collect();
        suspects.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let untried = suspects.len().saturating_sub(tries);
        suspects.truncate(tries);
        let meter = control.phase(Phase::Evaluating, suspects.len() as u64, "layers");
        let together = if few == self.batches.len() { all } else { self.noise(|_| true, few, control)? };
        let mut tried = Vec::new();
        for (_, number) in suspects {
            let (at, layer) = &layers[number];
            let alone = self.noise(|made| made == *at, few, control)?;
            let noise_share = if together.noise > 0.0 { alone.noise / together.noise } else { 0.0 };
            tried.push((
                number,
                LayerSensitivity { name: layer.name.clone(), output_sqnr_db: alone.sqnr_db(), noise_share },
            ));
            meter.advance(1)?;
        }
        tried.sort_by(|a, b| b.1.noise_share.total_cmp(&a.1.noise_share));
        let suggestion = self.suggestion(layers, &tried, together, few, control)?;
        Ok(Sensitivity {
            samples: samples as u64,
            output_sqnr_db: together.sqnr_db(),
            layers: tried.into_iter().map(|(_, layer)| layer).collect(),
            untried,
            suggestion,
        })
    }

    /// The layers that stand out, and what the outputs gain without them: measured, not added up.
    fn suggestion(
        &mut self,
        layers: &[(usize, LayerReport)],
        tried: &[(usize, LayerSensitivity)],
        together: ErrorStats,
        few: usize,
        control: &Control<'_>,
    ) -> Result<Option<Suggestion>, BackendError> {
        let costly = tried.iter().filter(|(_, layer)| layer.noise_share >= STANDS_OUT).take(MOST_SUGGESTED);
        let skipped: Vec<&(usize, LayerReport)> = costly.map(|(number, _)| &layers[*number]).collect();
        if skipped.is_empty() {
            return Ok(None);
        }
        let without = self.noise(|made| !skipped.iter().any(|(at, _)| *at == made), few, control)?;
        let gain = together.sqnr_db().zip(without.sqnr_db()).map(|(with, without)| without - with);
        if gain.is_some_and(|gain| gain < WORTH_IT) {
            return Ok(None);
        }
        let grown = skipped.iter().filter_map(|(_, layer)| layer.weights.as_ref());
        Ok(Some(Suggestion {
            skip_names: skipped.iter().map(|(_, layer)| Pattern::literal(&layer.name)).collect(),
            output_sqnr_db: without.sqnr_db(),
            gain_db: gain,
            bytes_added: grown.map(|w| w.bytes_before.saturating_sub(w.bytes_after)).sum(),
        }))
    }
}

/// How noisy a layer's inputs are: the noise of each over its signal, added up.
fn own_noise(layer: &LayerReport) -> f64 {
    let ratio = |db: Option<f64>| db.map_or(0.0, |db| 10f64.powf(-db / 10.0));
    let activations: f64 = layer.activations.iter().map(|activation| ratio(activation.sqnr_db)).sum();
    activations + layer.weights.as_ref().map_or(0.0, |weights| ratio(weights.sqnr_db))
}

impl Opened {
    /// The format of a layer's tensors.
    fn layer_format(&self, layer: usize) -> FloatFormat {
        let of_site = self.sites.iter().find(|site| site.layer == layer).map(|site| site.format);
        let of_weight = self.candidates[layer].as_ref().map(|candidate| candidate.format);
        of_site.or(of_weight).unwrap_or(FloatFormat::F32)
    }
}
