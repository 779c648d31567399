//! How long a sample takes in both models, in onnxruntime.

use std::time::Duration;

use super::{
    fused::warn_of_slower,
    models::Compared,
    references::load_original,
    samples::Samples,
    stopwatch::{Stopwatch, rounds},
};
use crate::{
    backend::{BackendError, RunInputs},
    control::Control,
    engine::{Batch, Binding, EngineError, Optimisation, Session, random_inputs},
    report::Latency,
};

/// What latency in onnxruntime was measured with.
pub(super) const RUNTIME: &str = "onnxruntime at its default optimization";
/// Batches that are enough to see how the file fares under onnxruntime's default optimization.
pub(super) const ENOUGH_BATCHES: usize = 6;
/// The largest model that is in memory together with its original, in bytes.
const LARGEST_TOGETHER: u64 = 512 << 20;

/// Of both models in turns, for the first batches of the samples, or for random numbers where there are none; with a warning
/// where the result is the slower one. `None` where the engine does not run either of them.
pub(in crate::backend) fn in_onnxruntime(
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: Option<&Samples<'_>>,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    where_it_runs(measure(models, inputs, samples, control))
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

fn measure(
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: Option<&Samples<'_>>,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    let (original, _) = load_original(models, inputs)?;
    let batches = first_batches(&original, samples)?;
    let quantized = || Session::load(models.quantized, Optimisation::Full, &inputs.engine);
    let times = if models.prepared.file_bytes <= LARGEST_TOGETHER {
        time(&mut [original, quantized()?], &batches, control)?
    } else {
        let mut times = time(&mut [original], &batches, control)?;
        times.extend(time(&mut [quantized()?], &batches, control)?);
        times
    };
    let [Some(before), Some(after)] = times[..] else { return Ok(None) };
    warn_of_slower(before, after, "onnxruntime", control);
    let batch = batches.first().map_or(1, |batch| batch.samples.len());
    Ok(Some(Latency::new(before, after, batch, inputs.engine.threads, RUNTIME)))
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

/// The time of a sample in each session. They run in turns: a machine that others share is slow for all of them then.
fn time(
    sessions: &mut [Session],
    batches: &[Batch],
    control: &Control<'_>,
) -> Result<Vec<Option<Duration>>, BackendError> {
    let mut watches: Vec<Stopwatch> = sessions.iter().map(|_| Stopwatch::default()).collect();
    for batch in rounds(batches) {
        control.checkpoint()?;
        for (session, watch) in sessions.iter_mut().zip(&mut watches) {
            watch.time(batch.samples.len(), || session.run(batch))?;
        }
    }
    Ok(watches.iter().map(Stopwatch::per_sample).collect())
}
