//! From what a backend measured to the report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{LocalJob, process};
use crate::{
    backend::Outcome,
    quant::kernels::Isa,
    report::{Comparison, Environment, Policies, Report, Summary},
    spec::{Decision, Warning},
};

/// The report of a job whose files are written.
pub(super) fn report(
    job: &LocalJob,
    outcome: Outcome,
    inputs: Value,
    warnings: Vec<Warning>,
    seconds: BTreeMap<String, f64>,
) -> Report {
    let count = |decision| outcome.layers.iter().filter(|layer| layer.decision == decision).count();
    let comparison = outcome.comparison;
    let total = comparison.as_ref().map(Comparison::total);
    let accuracies = comparison.as_ref().and_then(Comparison::accuracies);
    let top5 = comparison.as_ref().and_then(Comparison::top5_accuracies);
    let summary = Summary {
        bytes_before: outcome.bytes_before,
        bytes_after: outcome.bytes_after,
        compression: outcome.bytes_before as f64 / outcome.bytes_after.max(1) as f64,
        layers_quantized: count(Decision::Quantize),
        layers_native: count(Decision::Native),
        output_sqnr_db: total.and_then(|error| error.sqnr_db()),
        output_cosine: total.and_then(|error| error.cosine()),
        top1_agreement: comparison.as_ref().and_then(Comparison::top1_agreement),
        accuracy_before: accuracies.map(|(before, _)| before),
        accuracy_after: accuracies.map(|(_, after)| after),
        accuracy_drop: accuracies.map(|(before, after)| before - after),
        top5_before: top5.map(|(before, _)| before),
        top5_after: top5.map(|(_, after)| after),
        calibration_random: outcome.calibration_random,
        mask_input: outcome.mask_input,
        outputs_by: comparison.as_ref().map(|_| if outcome.simulated { "simulation" } else { "onnxruntime" }),
        samples_calibrated: outcome.samples_calibrated,
        samples_evaluated: comparison.as_ref().map(|c| c.samples),
        seconds,
        predicted_peak_bytes: outcome.predicted_peak_bytes,
        peak_rss_bytes: process::peak_rss_bytes(),
    };
    Report {
        quality_gate: job.quality_gate.judge(&summary),
        summary,
        layers: outcome.layers,
        outputs: comparison.as_ref().map(Comparison::reports).unwrap_or_default(),
        latency: outcome.latency.or(comparison.and_then(|c| c.latency)),
        sensitivity: outcome.sensitivity,
        inputs,
        preparation: outcome.preparation,
        warnings,
        policies: Policies::default(),
        environment: Environment {
            ptqd_version: env!("CARGO_PKG_VERSION"),
            instruction_set: Isa::best().name(),
            threads: rayon::current_num_threads(),
            onnxruntime: outcome.engine_version,
        },
    }
}
