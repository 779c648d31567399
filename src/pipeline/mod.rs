//! One job from local inputs to a folder of artifacts: plan, run, report, manifest.
//!
//! Synchronous and local. Knows nothing of queues, stores or URIs; the command line and the workers both call it.

mod error;
mod manifest;
mod process;
mod shard_done;
mod shards;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    backend::{self, Backend, Outcome, Prediction, Prepared, RunInputs},
    control::{Control, Notice, Phase},
    model,
    quant::kernels::Isa,
    report::{Artifact, Comparison, Environment, Policies, QualityGate, Report, Summary},
    spec::{Decision, Objection, ObjectionCode, Plan, QuantizeSpec, Warning},
};

pub use error::PipelineError;
pub use shard_done::ShardDone;
pub use shards::{ShardPipeline, join, run_shard, run_streamed};

/// A job whose inputs lie on the local disk.
#[derive(Debug)]
pub struct LocalJob {
    /// The rules.
    pub spec: QuantizeSpec,
    /// Warnings from parsing the rules.
    pub warnings: Vec<Warning>,
    /// The model's file or folder.
    pub model: PathBuf,
    /// Data and engine.
    pub inputs: RunInputs,
    /// What the result should reach.
    pub quality_gate: QualityGate,
    /// Whether the manifest has the SHA-256 of every file, in and out. For a large model that takes longer than the rest.
    pub digests: bool,
    /// Where the inputs were brought from, by role, for the manifest; nothing of those that were here.
    pub origins: BTreeMap<&'static str, String>,
}

/// What a finished job leaves in its folder.
#[derive(Debug)]
pub struct Finished {
    /// The report, also in `report.json`.
    pub report: Report,
    /// All files, the manifest last.
    pub artifacts: Vec<Artifact>,
}

/// A job that passed every check, its model opened and its plan made.
pub struct PlannedJob<'a> {
    job: &'a LocalJob,
    backend: &'static dyn Backend,
    prepared: Box<dyn Prepared>,
    warnings: Vec<Warning>,
}

impl std::fmt::Debug for PlannedJob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedJob").field("job", self.job).finish_non_exhaustive()
    }
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be carried out.
    Run,
    /// To be looked at; calibration data may be missing still.
    Look,
}

/// Checks a job and opens its model. Every objection is reported, those of the rules before those of the model.
pub fn plan(job: &LocalJob, purpose: Purpose) -> Result<PlannedJob<'_>, PipelineError> {
    let (backend, mut objections, warnings) = backend::check(&job.spec, job.inputs.calibration.is_some());
    if purpose == Purpose::Look {
        objections.retain(|objection| objection.code != ObjectionCode::CalibrationMissing);
    }
    let (Some(backend), true) = (backend, objections.is_empty()) else {
        return Err(PipelineError::Objections(objections));
    };
    let format = model::detect(&job.model)?;
    let capabilities = backend.capabilities();
    if !capabilities.formats.contains(&format.name) {
        let message = format!("backend `{}` does not take {} models", capabilities.name, format.name);
        let takers = backend::BACKENDS.iter().map(|b| b.capabilities()).filter(|c| c.formats.contains(&format.name));
        let takers: Vec<String> = takers.map(|c| format!("`{}` ({})", c.name, c.mode.name())).collect();
        let hint = match takers.as_slice() {
            [] => format!("it takes {}", capabilities.formats.join(", ")),
            takers => format!("for {} models use backend {}", format.name, takers.join(" or ")),
        };
        let objection = Objection::new("/model/uri", ObjectionCode::UnsupportedModelFormat, message).hint(hint);
        return Err(PipelineError::Objections(vec![objection.allowed(capabilities.formats)]));
    }
    let prepared = backend.open(&job.spec, &job.model)?;
    let resolved = prepared.resolved();
    if !resolved.objections.is_empty() {
        return Err(PipelineError::Objections(resolved.objections.clone()));
    }
    // Whoever let the job in may have told some of them already.
    let more = warnings.iter().filter(|warning| !job.warnings.contains(warning));
    let warnings = job.warnings.iter().chain(more).chain(&resolved.warnings).cloned().collect();
    Ok(PlannedJob { job, backend, prepared, warnings })
}

impl PlannedJob<'_> {
    /// What will happen to each layer.
    pub fn plan(&self) -> &Plan {
        &self.prepared.resolved().plan
    }

    /// The rules as they will be carried out.
    pub fn effective_config(&self) -> Value {
        backend::effective(&self.job.spec, self.backend.capabilities())
    }

    /// The plan as it is kept.
    pub fn to_json(&self) -> Value {
        json!({"effective_config": self.effective_config(), "plan": self.plan()})
    }

    /// Tells the plan and what is to be said about it.
    pub fn announce(&self, control: &Control<'_>) -> Result<(), PipelineError> {
        control.notify(Notice::Plan(self.to_json()));
        for warning in self.warnings() {
            control.notify(Notice::Warning(warning.clone()));
        }
        Ok(control.checkpoint()?)
    }

    /// What the run is expected to leave and to take.
    pub fn predict(&self) -> Result<Prediction, PipelineError> {
        Ok(self.prepared.predict(&self.job.inputs)?)
    }

    /// The bytes of each shard, if the shards can be done apart from each other.
    pub fn shard_bytes(&self) -> Option<Vec<u64>> {
        Some(self.prepared.sharded()?.shard_bytes())
    }

    /// Warnings so far.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Runs a job and writes its artifacts into the folder `out`, which is empty or holds what an interrupted run of the same
/// job left. Computes on threads of its own, as many as the engine may use.
pub fn run(job: &LocalJob, out: &Path, control: &Control<'_>) -> Result<Finished, PipelineError> {
    on_threads(job, || {
        let written = listened(control, |control| {
            let mut planned = plan(job, Purpose::Run)?;
            planned.announce(control)?;
            let outcome = planned.prepared.run(&job.inputs, out, control)?;
            Ok((planned, outcome))
        })?;
        finish(job, out, control, written, &[])
    })
}

/// Runs something on threads of its own, as many as the engine may use.
fn on_threads<T: Send>(
    job: &LocalJob,
    run: impl FnOnce() -> Result<T, PipelineError> + Send,
) -> Result<T, PipelineError> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(job.inputs.engine.threads)
        .thread_name(|n| format!("ptqd-compute-{n}"))
        .build()
        .map_err(|source| PipelineError::Threads { source })?;
    threads.install(run)
}

/// A plan that was carried out.
struct Written<'a> {
    planned: PlannedJob<'a>,
    outcome: Outcome,
    /// Every warning on the way.
    warnings: Vec<Warning>,
    /// Wall time by phase.
    seconds: BTreeMap<String, f64>,
}

/// Carries out a plan, and notes the warnings and the time of each phase.
fn listened<'a>(
    control: &Control<'_>,
    run: impl FnOnce(&Control<'_>) -> Result<(PlannedJob<'a>, Outcome), PipelineError>,
) -> Result<Written<'a>, PipelineError> {
    let clock = PhaseClock::default();
    let collected = Mutex::new(Vec::new());
    let notify = |notice: Notice| {
        clock.see(&notice);
        if let (Notice::Warning(warning), Ok(mut all)) = (&notice, collected.lock()) {
            all.push(warning.clone());
        }
        control.notify(notice);
    };
    let listening = control.listening(&notify);
    listening.notify(Notice::Phase(Phase::Validating));
    let (planned, outcome) = run(&listening)?;
    let warnings = collected.lock().map(|all| all.clone()).unwrap_or_default();
    Ok(Written { planned, outcome, warnings, seconds: clock.finish() })
}

/// Writes plan, report and manifest beside what a backend wrote. `elsewhere`: what shards left that lie somewhere else.
fn finish(
    job: &LocalJob,
    out: &Path,
    control: &Control<'_>,
    written: Written<'_>,
    elsewhere: &[ShardDone],
) -> Result<Finished, PipelineError> {
    let Written { planned, outcome, warnings, mut seconds } = written;
    for done in elsewhere {
        *seconds.entry(Phase::Quantizing.name().to_owned()).or_default() += done.seconds;
    }
    let mut files = outcome.files.clone();
    files.push(write_json(out, "plan.json", &planned.to_json())?);
    if let Some(calibration) = &outcome.calibration {
        files.push(write_json(out, "calibration.json", calibration)?);
    }
    let inputs = manifest::inputs(job, elsewhere, control)?;
    let report = report(job, outcome, inputs, warnings, seconds);
    files.push(write_json(out, "report.json", &report)?);
    let artifacts = manifest::write(job, &planned, &report, (files, elsewhere), out, control)?;
    Ok(Finished { report, artifacts })
}

fn report(
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
        latency: comparison.and_then(|c| c.latency),
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

fn write_json(out: &Path, name: &str, value: &impl Serialize) -> Result<String, PipelineError> {
    let path = out.join(name);
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other);
    text.and_then(|text| fs::write(&path, text + "\n")).map_err(|source| PipelineError::Write { path, source })?;
    Ok(name.to_owned())
}

/// Wall time by phase, told by the notices that begin them.
#[derive(Default)]
struct PhaseClock(Mutex<PhaseTimes>);

#[derive(Default)]
struct PhaseTimes {
    current: Option<(Phase, Instant)>,
    seconds: BTreeMap<String, f64>,
}

impl PhaseClock {
    fn see(&self, notice: &Notice) {
        if let Notice::Phase(phase) = notice {
            self.turn(Some(*phase));
        }
    }

    fn turn(&self, next: Option<Phase>) {
        let Ok(mut state) = self.0.lock() else { return };
        if let Some((phase, began)) = state.current.take() {
            *state.seconds.entry(phase.name().to_owned()).or_default() += began.elapsed().as_secs_f64();
        }
        state.current = next.map(|phase| (phase, Instant::now()));
    }

    fn finish(&self) -> BTreeMap<String, f64> {
        self.turn(None);
        self.0.lock().map(|mut state| std::mem::take(&mut state.seconds)).unwrap_or_default()
    }
}
