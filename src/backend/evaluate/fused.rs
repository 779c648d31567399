//! What onnxruntime makes of the result by default: is it still what the model says, and how long does it take?

use std::time::Duration;

use super::{models::Compared, stopwatch::Stopwatch, unfused::unfused};
use crate::{
    backend::{BackendError, RunInputs},
    control::Control,
    engine::{Batch, Optimisation, Output, Session},
    fault::{WarningCode, few},
    quant::ErrorStats,
};

/// The result as onnxruntime runs it by default, looked at for a few samples. On x86 without VNNI its fused integer kernels
/// add pairs of 8-bit products in 16 bits, which overflows for large weights and activations.
pub(super) struct Fused {
    session: Option<Session>,
    error: ErrorStats,
    watch: Stopwatch,
}

impl Fused {
    pub(super) fn new(models: &Compared<'_>, inputs: &RunInputs, control: &Control<'_>) -> Result<Self, BackendError> {
        check_fusions(models, inputs, control);
        let session = match Session::load(models.quantized, Optimisation::Full, &inputs.engine) {
            Ok(session) => Some(session),
            // It takes the model itself; what it refuses is what its optimizer makes of it.
            Err(error) => {
                let Some(reason) = error.refusal() else { return Err(error.into()) };
                let note = format!(
                    "onnxruntime's default optimization breaks the model ({reason}), as it does with fp8 between other \
                     operators; run it with graph optimization level ORT_DISABLE_ALL",
                );
                control.warn(WarningCode::DefaultOptimizationFails, note);
                None
            }
        };
        Ok(Fused { session, error: ErrorStats::default(), watch: Stopwatch::default() })
    }

    pub(super) fn see(&mut self, exact: &[Output], batch: &Batch) -> Result<(), BackendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let fused = self.watch.time(batch.samples.len(), || session.run(batch))?;
        let outputs = exact.iter().zip(fused);
        outputs.for_each(|(e, f)| e.values.iter().zip(&f.values).for_each(|(&e, &f)| self.error.add(e, f)));
        Ok(())
    }

    /// Tells what is wrong; the time of a sample.
    pub(super) fn tell(self, control: &Control<'_>) -> Option<Duration> {
        // Rounding differences between kernels stay far above this; saturation falls far below.
        const FAITHFUL_DB: f64 = 25.0;
        if let Some(db) = self.error.sqnr_db().filter(|db| *db < FAITHFUL_DB) {
            control.warn(
                WarningCode::FusedKernelsInexact,
                format!(
                    "with its default optimization, onnxruntime on this machine's CPU is only {db:.1} dB from what the \
                     model says; the figures of this report are those of the model itself. Known causes: without VNNI \
                     instructions 8-bit products saturate (set backend_kwargs.reduce_range to true), and a Relu before a \
                     QuantizeLinear of fp8 is removed. Graph optimization level ORT_DISABLE_ALL computes what the model \
                     says",
                ),
            );
        }
        self.watch.per_sample()
    }
}

fn warn_of_unfused(layers: &[String], control: &Control<'_>) {
    if !layers.is_empty() {
        let message = format!(
            "onnxruntime does not fuse these layers with the pairs around them, so they compute in floats and convert \
             besides: {}",
            few(layers)
        );
        control.warn(WarningCode::NotFused, message);
    }
}

/// Says so where the result is slower than the original: that is seldom what was wanted.
pub(super) fn warn_of_slower(before: Duration, after: Duration, runtime: &str, control: &Control<'_>) {
    // Clocks of a shared machine differ by this much from run to run.
    const NOISE: f64 = 1.05;
    if after.as_secs_f64() > before.as_secs_f64() * NOISE {
        let message = format!(
            "on this machine's CPU a sample takes {:.2} ms in {runtime}, and {:.2} ms with the original",
            after.as_secs_f64() * 1e3,
            before.as_secs_f64() * 1e3
        );
        control.warn(WarningCode::SlowerThanOriginal, message);
    }
}

/// Runs the file for a batch, of which `exact` are the outputs that the model says: as onnxruntime runs it by default, and
/// where that fails node by node. A difference is a warning.
pub(in crate::backend) fn check_file(
    models: &Compared<'_>,
    inputs: &RunInputs,
    batch: &Batch,
    exact: &[Output],
    control: &Control<'_>,
) -> Result<(), BackendError> {
    let mut fused = Fused::new(models, inputs, control)?;
    if fused.session.is_none() {
        fused.session = Some(Session::load(models.quantized, Optimisation::Off, &inputs.engine)?);
    }
    fused.see(exact, batch)?;
    fused.tell(control);
    Ok(())
}

/// Looks at what onnxruntime makes of a file that no data is run through.
pub(in crate::backend) fn check_fusions(models: &Compared<'_>, inputs: &RunInputs, control: &Control<'_>) {
    if models.for_onnxruntime {
        warn_of_unfused(&unfused(models, &inputs.engine), control);
    }
}
