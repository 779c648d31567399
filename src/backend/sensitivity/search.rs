//! What single layers cost, and which of them are better left alone.

use super::study::Study;
use crate::{
    backend::BackendError,
    control::{Control, Phase},
    quant::ErrorStats,
    report::{LayerReport, LayerSensitivity, Sensitivity, Suggestion},
    spec::{Decision, Pattern},
};

/// The most samples that single layers are tried on.
const SAMPLES_ALONE: usize = 8;
/// The most layers that a suggestion names.
const MOST_SUGGESTED: usize = 3;
/// The share of the noise from which on a layer stands out.
const STANDS_OUT: f64 = 0.15;
/// The gain in dB from which on a suggestion is worth its bytes.
const WORTH_IT: f64 = 0.5;

impl Study<'_> {
    /// What up to `tries` layers cost alone, over the first batches; `all` is the error of all outputs over all of them.
    pub(super) fn sensitivity(
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
