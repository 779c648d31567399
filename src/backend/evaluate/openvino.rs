//! How long a sample takes in OpenVINO, where its library is given and the result is for it.

use std::{path::Path, time::Duration};

use super::{
    fused::warn_of_slower,
    latency::{first_batches, where_it_runs},
    models::Compared,
    samples::Samples,
    stopwatch::{Stopwatch, rounds},
};
use crate::{
    backend::{BackendError, RunInputs},
    control::Control,
    engine::{Batch, OpenVino, OpenVinoError, Optimisation, Session},
    fault::WarningCode,
    report::Latency,
};

/// Of the original and the result, for the first batches of the samples, or for random numbers where there are none. That
/// OpenVINO fails is a warning: the result stands.
pub(in crate::backend) fn in_openvino(
    library: &Path,
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: Option<&Samples<'_>>,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    let read = Session::load(models.quantized, Optimisation::Off, &inputs.engine).map_err(BackendError::from);
    let read = read.and_then(|session| Ok(Some(first_batches(&session, samples)?)));
    let Some(batches) = where_it_runs(read)? else { return Ok(None) };
    match measure(library, models, inputs.engine.threads, &batches, control) {
        Err(OpenVinoError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(error) => {
            control
                .warn(WarningCode::OpenvinoNotMeasured, format!("{error}; how long a sample takes there is not known"));
            Ok(None)
        }
        Ok(latency) => Ok(latency),
    }
}

fn measure(
    library: &Path,
    models: &Compared<'_>,
    threads: usize,
    batches: &[Batch],
    control: &Control<'_>,
) -> Result<Option<Latency>, OpenVinoError> {
    let mut openvino = OpenVino::load(library, threads)?;
    let before = time(&mut openvino, models.original, batches, control)?;
    let after = time(&mut openvino, models.quantized, batches, control)?;
    let Some((before, after)) = before.zip(after) else { return Ok(None) };
    warn_of_slower(before, after, "OpenVINO", control);
    let batch = batches.first().map_or(1, |batch| batch.samples.len());
    let runtime = format!("OpenVINO {} in f32", openvino.version());
    Ok(Some(Latency::new(before, after, batch, threads, &runtime)))
}

/// The time of a sample, the model alone in memory.
fn time(
    openvino: &mut OpenVino,
    model: &Path,
    batches: &[Batch],
    control: &Control<'_>,
) -> Result<Option<Duration>, OpenVinoError> {
    control.checkpoint()?;
    let mut compiled = openvino.compile(model)?;
    let mut watch = Stopwatch::default();
    for batch in rounds(batches) {
        control.checkpoint()?;
        compiled.bind(batch)?;
        watch.time(batch.samples.len(), || compiled.run())?;
    }
    Ok(watch.per_sample())
}
