//! The original and the result, layer by layer and as a whole.

use std::sync::PoisonError;

use super::{probe::Probe, study::Study, subject::QuantizedInputKind};
use crate::{
    backend::{BackendError, evaluate::Samples},
    control::{Control, Phase},
    engine::Gate,
    quant::ErrorStats,
    report::{Comparison, LayerReport},
};

impl Study<'_> {
    /// The original and the result, layer by layer and as a whole; the error of all outputs comes second.
    pub(super) fn compare(
        &mut self,
        layers: &mut [(usize, LayerReport)],
        samples: &Samples<'_>,
        control: &Control<'_>,
    ) -> Result<(Comparison, ErrorStats), BackendError> {
        let total = 2 * self.batches.iter().map(|batch| batch.samples.len() as u64).sum::<u64>();
        let meter = control.phase(Phase::Evaluating, total, "samples");
        self.gates.set(|slot| if self.seen.get(slot).is_some_and(Option::is_some) { Gate::Watch } else { Gate::Off });
        for batch in &self.batches {
            self.before.push(self.session.run(batch)?);
            meter.advance(batch.samples.len() as u64)?;
        }
        // Now, while they have seen the original's values alone.
        for (step, seen) in self.steps.iter().zip(&self.seen) {
            let QuantizedInputKind::Activation { report: Some((layer, report)), .. } = step.kind else { continue };
            let Some(seen) = seen else { continue };
            let error = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            let activations = layers.iter_mut().find(|(at, _)| *at == layer).map(|(_, l)| &mut l.activations);
            if let Some(activation) = activations.and_then(|all| all.get_mut(report)) {
                activation.sqnr_db = error.sqnr_db();
                activation.beyond_fraction = error.fraction(error.clipped);
            }
        }
        self.slots.each(Probe::compare);
        self.gates.set(|_| Gate::On);
        let mut comparison = Comparison::default();
        for (batch, before) in self.batches.iter().zip(&self.before) {
            let after = self.session.run(batch)?;
            samples.add(&mut comparison, &batch.samples, before, &after);
            self.after.push(after);
            meter.advance(batch.samples.len() as u64)?;
        }
        let all = comparison.total();
        let errors = self.slots.each(|probe| std::mem::take(&mut probe.error));
        for (number, error) in self.probed.iter().zip(errors) {
            if let Some((_, layer)) = layers.get_mut(*number) {
                layer.output_sqnr_db = error.sqnr_db();
            }
        }
        Ok((comparison, all))
    }
}
