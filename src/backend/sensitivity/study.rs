//! [`Study`]: a session in which each quantized input is a change that can be turned on and off.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use super::{
    fake_quant,
    probe::Probe,
    subject::{QuantizedInput, QuantizedInputKind, Subject},
};
use crate::{
    backend::{BackendError, RunInputs, evaluate::Samples, graph::weights::EngineFile},
    control::Control,
    engine::{
        Batch, Gate, Gates, Output, Session, Slots, TensorTransform, TransformedInput, with_observers, with_transforms,
    },
    quant::ErrorStats,
};

/// The most samples that layers are compared on.
const SAMPLES: usize = 16;

/// A session of the graph with its changes.
pub(super) struct Study<'a> {
    pub(super) session: Session,
    pub(super) slots: Slots<Probe>,
    pub(super) gates: Gates,
    /// The layer of each slot.
    pub(super) probed: Vec<usize>,
    pub(super) steps: &'a [QuantizedInput],
    pub(super) seen: Vec<Option<Arc<Mutex<ErrorStats>>>>,
    pub(super) batches: Vec<Batch>,
    /// What the original gives for each batch.
    pub(super) before: Vec<Vec<Output>>,
    /// What the result gives.
    pub(super) after: Vec<Vec<Output>>,
}

impl<'a> Study<'a> {
    /// Loads the session, every change off, and reads the samples.
    pub(super) fn new(
        subject: &Subject<'a>,
        samples: &Samples<'_>,
        inputs: &RunInputs,
        out: &Path,
    ) -> Result<Self, BackendError> {
        let mut changes: Vec<Box<dyn TensorTransform>> = Vec::new();
        let (mut places, mut seen) = (Vec::new(), Vec::new());
        for step in subject.inputs {
            places.push(TransformedInput { at: step.at, format: step.format });
            match &step.kind {
                QuantizedInputKind::Activation { params, scheme, .. } => {
                    let sums = Arc::new(Mutex::new(ErrorStats::default()));
                    seen.push(Some(Arc::clone(&sums)));
                    changes.push(Box::new(fake_quant::Activation { scheme: *scheme, params: *params, seen: sums }));
                }
                QuantizedInputKind::Dynamic => {
                    seen.push(None);
                    changes.push(Box::new(fake_quant::Dynamic));
                }
                QuantizedInputKind::Weight(chosen) => {
                    seen.push(None);
                    changes.push(Box::new(fake_quant::Weight(*chosen)));
                }
            }
        }
        let outputs = subject.outputs.iter().enumerate();
        let (probed, watched): (Vec<_>, Vec<_>) =
            outputs.filter_map(|(number, output)| Some((number, (*output)?))).unzip();
        let changed = with_observers(&with_transforms(subject.model, &places), &watched, None);
        let slots = Slots::new(watched.iter().map(|_| Probe::default()));
        let gates = Gates::new(changes);
        let file = EngineFile::write(&changed, out)?;
        let session = Session::load_changed(&file.path(), &slots, &gates, &inputs.engine)?;
        drop(file);
        let binding = samples.bind_few(&session, SAMPLES)?;
        let batches = binding.batches().into_iter().map(|range| binding.read(range)).collect::<Result<_, _>>()?;
        Ok(Study { session, slots, gates, probed, steps: subject.inputs, seen, batches, before: vec![], after: vec![] })
    }

    /// The error of the outputs over the first `batches` with the steps of some layers made and no others.
    pub(super) fn noise(
        &mut self,
        made: impl Fn(usize) -> bool,
        batches: usize,
        control: &Control<'_>,
    ) -> Result<ErrorStats, BackendError> {
        self.gates.set(|slot| if made(self.steps[slot].layer) { Gate::On } else { Gate::Off });
        let mut error = ErrorStats::default();
        for (batch, before) in self.batches.iter().zip(&self.before).take(batches) {
            control.checkpoint()?;
            for (before, after) in before.iter().zip(self.session.run(batch)?) {
                before.values.iter().zip(&after.values).for_each(|(b, a)| error.add(*b, *a));
            }
        }
        Ok(error)
    }
}
