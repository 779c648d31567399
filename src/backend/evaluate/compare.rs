//! Running both models on the same samples.

use super::{
    fused::Fused,
    latency::{ENOUGH_BATCHES, RUNTIME},
    models::Compared,
    references::{References, original},
    samples::{Samples, batches},
};
use crate::{
    backend::{BackendError, RunInputs},
    control::{Control, Phase},
    engine::{Optimisation, Session, each_batch},
    report::{Comparison, Latency},
};

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
    let after = fused.tell(control);
    let latency = |(before, after)| Latency::new(before, after, binding.batch(), inputs.engine.threads, RUNTIME);
    comparison.latency = before.zip(after).map(latency);
    Ok(comparison)
}
