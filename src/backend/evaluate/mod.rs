//! Comparing the quantized model with the original.

mod fused;
mod samples;

use std::{
    borrow::Cow,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use self::fused::Fused;
pub(in crate::backend) use self::fused::check_file;
use crate::backend::graph::weights::EngineFile;
use crate::{
    backend::{BackendError, RunInputs},
    control::{Control, Phase},
    engine::{Batch, Binding, EngineError, Optimisation, Output, Session, each_batch},
    fault::WarningCode,
    model::onnx::Model,
    report::{Comparison, Latency},
};

pub(in crate::backend) use samples::{Samples, Split, batches, open};

/// The models to be compared.
pub(in crate::backend) struct Compared<'a> {
    /// The model as it came.
    pub(in crate::backend) original: &'a Path,
    /// The same in a form that the engine runs where it is too old for it.
    pub(in crate::backend) prepared: &'a Model,
    /// The result.
    pub(in crate::backend) quantized: &'a Path,
    /// The folder of the result, for what the engine needs for a moment.
    pub(in crate::backend) out: &'a Path,
}

/// Batches that are enough to see how the file fares under onnxruntime's default optimization, and how long it takes.
const ENOUGH_BATCHES: usize = 6;

/// Runs both models on the samples.
pub(in crate::backend) fn compare(
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: &Samples<'_>,
    control: &Control<'_>,
) -> Result<Comparison, BackendError> {
    let before = original(models, inputs, control)?;
    let binding = samples.bind(&before)?;
    let batches = batches(&binding, control);
    let total = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Evaluating, total, "samples");
    let mut references = References::new(before, &binding, &batches, control)?;
    // Even its basic optimizations change what a graph with e5m2 gives.
    let mut after = Session::load(models.quantized, Optimisation::Off, &inputs.engine)?;
    let (mut comparison, mut exact) = (Comparison::default(), Vec::new());
    let mut number = 0;
    each_batch(&binding, &batches, |batch| {
        let before = references.outputs(number, &batch)?;
        number += 1;
        let after = after.run(&batch)?;
        samples.add(&mut comparison, &batch.samples, &before, &after);
        meter.advance(batch.samples.len() as u64)?;
        if exact.len() < ENOUGH_BATCHES {
            exact.push((batch, after));
        }
        Ok::<_, BackendError>(())
    })?;
    // One model in memory at a time.
    drop(after);
    let before = references.watch.per_sample();
    drop(references);
    let mut fused = Fused::new(models, inputs, control)?;
    for (batch, exact) in &exact {
        fused.see(exact, batch)?;
    }
    let times = [before, fused.tell(control)];
    if let [Some(before), Some(after)] = times {
        comparison.latency = Some(Latency::new(before, after, binding.batch(), inputs.engine.threads));
    }
    Ok(comparison)
}

/// The original, or where the engine refuses it, its prepared form.
fn original(models: &Compared<'_>, inputs: &RunInputs, control: &Control<'_>) -> Result<Session, BackendError> {
    match Session::load(models.original, Optimisation::Full, &inputs.engine) {
        Err(EngineError::Load { reason }) => {
            let prepared = EngineFile::write(models.prepared, models.out)?;
            let session = Session::load(&prepared.path(), Optimisation::Full, &inputs.engine)?;
            let note =
                format!("the engine does not run the model as it came ({reason}); compared with its prepared form");
            control.warn(WarningCode::ComparedWithPrepared, note);
            Ok(session)
        }
        result => Ok(result?),
    }
}

/// What the original gives for each batch.
struct References {
    kept: ReferenceOutputs,
    watch: Stopwatch,
}

enum ReferenceOutputs {
    /// All of it, the session gone: two models at once take twice the memory.
    Outputs(Vec<Vec<Output>>),
    /// Too much to be kept.
    Session(Session),
}

impl References {
    fn new(
        mut session: Session,
        binding: &Binding<'_>,
        batches: &[Range<usize>],
        control: &Control<'_>,
    ) -> Result<Self, BackendError> {
        const MOST_VALUES: usize = 1 << 24;
        let (mut kept, mut watch) = (Vec::new(), Stopwatch::default());
        for batch in batches {
            control.checkpoint()?;
            let batch = binding.read(batch.clone())?;
            let outputs = watch.time(batch.samples.len(), || session.run(&batch))?;
            let values: usize = outputs.iter().map(|output| output.values.len()).sum();
            if values.saturating_mul(batches.len()) > MOST_VALUES {
                return Ok(References { kept: ReferenceOutputs::Session(session), watch });
            }
            kept.push(outputs);
        }
        Ok(References { kept: ReferenceOutputs::Outputs(kept), watch })
    }

    fn outputs(&mut self, number: usize, batch: &Batch) -> Result<Cow<'_, [Output]>, BackendError> {
        match &mut self.kept {
            ReferenceOutputs::Outputs(kept) => Ok(Cow::Borrowed(&kept[number])),
            ReferenceOutputs::Session(session) => {
                Ok(Cow::Owned(self.watch.time(batch.samples.len(), || session.run(batch))?))
            }
        }
    }
}

/// How long a sample takes, by the median of all batches but the first, which finds memory.
#[derive(Debug, Default)]
struct Stopwatch(Vec<Duration>);

impl Stopwatch {
    fn time<R>(&mut self, samples: usize, run: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = run();
        self.0.push(began.elapsed() / u32::try_from(samples.max(1)).unwrap_or(u32::MAX));
        result
    }

    fn per_sample(&self) -> Option<Duration> {
        let mut times = self.0.get(1..)?.to_vec();
        times.sort();
        times.get(times.len() / 2).copied()
    }
}
