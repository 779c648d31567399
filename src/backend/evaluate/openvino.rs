//! How long a sample takes in OpenVINO, where its library is given and the result is for it, and whether it gives what the
//! result says.

use std::{path::Path, time::Duration};

use super::{
    fused::warn_of_slower,
    latency::{first_batches, where_it_runs},
    models::Compared,
    references::load_original,
    samples::Samples,
    stopwatch::{Stopwatch, rounds},
};
use crate::{
    backend::{BackendError, RunInputs},
    control::Control,
    engine::{Batch, OpenVino, OpenVinoError, Optimisation, Output, Session},
    fault::WarningCode,
    quant::ErrorStats,
    report::Latency,
};

/// Of the original and the result, for the first batches of the samples, or for random numbers where there are none. That
/// OpenVINO fails is a warning: the result stands. So is that it computes another thing than the result says.
pub(in crate::backend) fn in_openvino(
    library: &Path,
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: Option<&Samples<'_>>,
    control: &Control<'_>,
) -> Result<Option<Latency>, BackendError> {
    let Some((batches, exact)) = where_it_runs(in_onnxruntime(models, inputs, samples))? else { return Ok(None) };
    match measure(library, models, inputs.engine.threads, &batches, &exact, control) {
        Err(OpenVinoError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(error) => {
            control
                .warn(WarningCode::OpenvinoNotMeasured, format!("{error}; how long a sample takes there is not known"));
            Ok(None)
        }
        Ok(latency) => Ok(latency),
    }
}

/// What the original and the result give for a batch.
struct Outputs {
    original: Vec<Output>,
    quantized: Vec<Output>,
}

impl Outputs {
    /// How far the one is from the other, where they are of one length.
    fn sqnr_db(&self) -> Option<f64> {
        let mut error = ErrorStats::default();
        for (exact, given) in self.original.iter().zip(&self.quantized) {
            if exact.values.len() != given.values.len() {
                return None;
            }
            exact.values.iter().zip(&given.values).for_each(|(&exact, &given)| error.add(exact, given));
        }
        error.sqnr_db()
    }
}

/// The batches, and what onnxruntime gives for the first: one model in memory at a time.
fn in_onnxruntime(
    models: &Compared<'_>,
    inputs: &RunInputs,
    samples: Option<&Samples<'_>>,
) -> Result<Option<(Vec<Batch>, Outputs)>, BackendError> {
    let mut session = Session::load(models.quantized, Optimisation::Off, &inputs.engine)?;
    let batches = first_batches(&session, samples)?;
    let Some(batch) = batches.first() else { return Ok(None) };
    let quantized = session.run(batch)?;
    drop(session);
    let original = load_original(models, inputs)?.0.run(batch)?;
    Ok(Some((batches, Outputs { original, quantized })))
}

fn measure(
    library: &Path,
    models: &Compared<'_>,
    threads: usize,
    batches: &[Batch],
    exact: &Outputs,
    control: &Control<'_>,
) -> Result<Option<Latency>, OpenVinoError> {
    let mut openvino = OpenVino::load(library, threads)?;
    let (before, original) = time(&mut openvino, models.original, batches, &exact.original, control)?;
    let (after, quantized) = time(&mut openvino, models.quantized, batches, &exact.quantized, control)?;
    warn_of_other_values(exact.sqnr_db(), Outputs { original, quantized }.sqnr_db(), control);
    let Some((before, after)) = before.zip(after) else { return Ok(None) };
    warn_of_slower(before, after, "OpenVINO", control);
    let batch = batches.first().map_or(1, |batch| batch.samples.len());
    let runtime = format!("OpenVINO {} in f32", openvino.version());
    Ok(Some(Latency::new(before, after, batch, threads, &runtime)))
}

/// Says so where quantization costs far more in OpenVINO than in onnxruntime: then it computes another thing. Kernels round
/// otherwise, which is far less.
fn warn_of_other_values(onnxruntime: Option<f64>, openvino: Option<f64>, control: &Control<'_>) {
    const TOLERATED_DB: f64 = 6.0;
    let Some((onnxruntime, openvino)) = onnxruntime.zip(openvino) else { return };
    if openvino < onnxruntime - TOLERATED_DB {
        let message = format!(
            "OpenVINO gives {openvino:.1} dB where onnxruntime gives {onnxruntime:.1} dB: it computes another thing than the \
             result says, whose figures in this report are onnxruntime's"
        );
        control.warn(WarningCode::OpenvinoDiffers, message);
    }
}

/// The time of a sample, the model alone in memory, and what it gives for the first batch, as onnxruntime gave `exact`.
fn time(
    openvino: &mut OpenVino,
    model: &Path,
    batches: &[Batch],
    exact: &[Output],
    control: &Control<'_>,
) -> Result<(Option<Duration>, Vec<Output>), OpenVinoError> {
    control.checkpoint()?;
    let mut compiled = openvino.compile(model)?;
    let (mut watch, mut outputs) = (Stopwatch::default(), None);
    for batch in rounds(batches) {
        control.checkpoint()?;
        compiled.bind(batch)?;
        watch.time(batch.samples.len(), || compiled.run())?;
        if outputs.is_none() {
            outputs = Some(compiled.outputs(exact)?);
        }
    }
    Ok((watch.per_sample(), outputs.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    use crate::control::{Canceller, Notice};

    fn outputs(original: &[f32], quantized: &[f32]) -> Outputs {
        let output = |values: &[f32]| vec![Output { name: "y".to_owned(), values: values.to_vec() }];
        Outputs { original: output(original), quantized: output(quantized) }
    }

    #[test]
    fn outputs_of_one_length_have_a_distance() {
        assert_eq!(outputs(&[10.0], &[9.0]).sqnr_db(), Some(20.0));
        assert_eq!(outputs(&[10.0, 1.0], &[9.0]).sqnr_db(), None, "OpenVINO gave another type, or nothing");
        assert_eq!(outputs(&[10.0], &[10.0]).sqnr_db(), None);
    }

    #[test]
    fn far_less_in_openvino_than_in_onnxruntime_is_a_warning() {
        let said = |onnxruntime: f64, openvino: f64| {
            let (notices, never) = (Mutex::new(Vec::new()), Canceller::default());
            let notify = |notice| notices.lock().unwrap().push(notice);
            warn_of_other_values(Some(onnxruntime), Some(openvino), &Control::new(&notify, &never));
            match notices.into_inner().unwrap().pop() {
                Some(Notice::Warning(warning)) => Some(warning.message),
                _ => None,
            }
        };
        let message = said(34.1, 11.1).unwrap();
        assert!(message.starts_with("OpenVINO gives 11.1 dB where onnxruntime gives 34.1 dB"), "{message}");
        assert_eq!((said(34.1, 28.2), said(11.1, 34.1)), (None, None));
    }
}
