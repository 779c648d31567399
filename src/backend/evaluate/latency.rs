//! How long a sample takes in both models, where nothing else has run both of them.

use std::time::Duration;

use super::{
    fused::{Fused, warn_of_slower},
    models::Compared,
    references::original,
    samples::Samples,
    stopwatch::Stopwatch,
};
use crate::{
    backend::{BackendError, RunInputs},
    control::Control,
    engine::{Batch, Binding, EngineError, Session, random_inputs},
    report::Latency,
};

/// Batches that are enough to see how the file fares under onnxruntime's default optimization, and how long it takes.
pub(super) const ENOUGH_BATCHES: usize = 6;

/// From the times of a sample, with a warning where a result for CPUs is the slower one.
pub(super) fn told(
    models: &Compared<'_>,
    [before, after]: [Option<Duration>; 2],
    batch: usize,
    threads: usize,
    control: &Control<'_>,
) -> Option<Latency> {
    let (before, after) = before.zip(after)?;
    if models.for_cpu {
        warn_of_slower(before, after, "onnxruntime", control);
    }
    Some(Latency::new(before, after, batch, threads, "onnxruntime at its default optimization"))
}

/// Beside the time of a sample in the result, that of the original for the same batches.
pub(in crate::backend) fn beside(
    after: Option<Duration>,
    models: &Compared<'_>,
    inputs: &RunInputs,
    batches: &[Batch],
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    if after.is_none() {
        return Ok(None);
    }
    let mut session = original(models, inputs, control)?;
    let before = time(&mut session, batches, control)?;
    let batch = batches.first().map_or(1, |batch| batch.samples.len());
    Ok(told(models, [before, after], batch, inputs.engine.threads, control))
}

/// Of both models for random numbers, one sample at a time; `None` where the engine does not run them.
pub(in crate::backend) fn on_random(
    models: &Compared<'_>,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    where_it_runs(of_random(models, inputs, control))
}

/// Nothing where the engine does not run a model, or not with these inputs.
pub(super) fn where_it_runs<T>(result: Result<Option<T>, BackendError>) -> Result<Option<T>, BackendError> {
    match result {
        // Numbers that are none of the model's: an index beyond a table, say.
        Err(BackendError::Engine(error))
            if error.reason().is_some() || matches!(error, EngineError::InputUnsupported { .. }) =>
        {
            Ok(None)
        }
        result => result,
    }
}

fn of_random(
    models: &Compared<'_>,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    let mut session = original(models, inputs, control)?;
    let batches = first_batches(&session, None)?;
    let batch = batches.first().map_or(1, |batch| batch.samples.len());
    let before = time(&mut session, &batches, control)?;
    drop(session);
    let after = Fused::new(models, inputs, control)?.time(&batches, control)?;
    Ok(told(models, [before, after], batch, inputs.engine.threads, control))
}

/// The first batches of the samples for a session's inputs; without samples, of random numbers, one sample each where the
/// model leaves that open.
pub(super) fn first_batches(session: &Session, samples: Option<&Samples<'_>>) -> Result<Vec<Batch>, EngineError> {
    let random;
    let binding = match samples {
        Some(samples) => samples.bind(session)?,
        None => {
            random = random_inputs(session.inputs(), ENOUGH_BATCHES)?;
            Binding::new(session.inputs(), &random, 1, 0..random.samples())?
        }
    };
    binding.batches().into_iter().take(ENOUGH_BATCHES).map(|range| binding.read(range)).collect()
}

/// The time of a sample.
pub(super) fn time(
    session: &mut Session,
    batches: &[Batch],
    control: &Control<'_>,
) -> Result<Option<Duration>, BackendError> {
    let mut watch = Stopwatch::default();
    for batch in batches.iter().take(ENOUGH_BATCHES) {
        control.checkpoint()?;
        watch.time(batch.samples.len(), || session.run(batch))?;
    }
    Ok(watch.per_sample())
}
