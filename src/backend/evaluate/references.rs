//! [`References`]: what the original gives for each batch.

use std::{borrow::Cow, ops::Range};

use super::{models::Compared, stopwatch::Stopwatch};
use crate::{
    backend::{BackendError, RunInputs, graph::weights::EngineFile},
    control::Control,
    engine::{Batch, Binding, Optimisation, Output, Session},
    fault::WarningCode,
};

/// The original, or where the engine refuses it, its prepared form.
pub(super) fn original(
    models: &Compared<'_>,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Session, BackendError> {
    let (session, refused) = load_original(models, inputs)?;
    if let Some(reason) = refused {
        let note = format!("the engine does not run the model as it came ({reason}); compared with its prepared form");
        control.warn(WarningCode::ComparedWithPrepared, note);
    }
    Ok(session)
}

/// The same, with what the engine says where it refuses the original.
pub(super) fn load_original(
    models: &Compared<'_>,
    inputs: &RunInputs,
) -> Result<(Session, Option<String>), BackendError> {
    let refused = match Session::load(models.original, Optimisation::Full, &inputs.engine) {
        Ok(session) => return Ok((session, None)),
        Err(error) => error,
    };
    let Some(reason) = refused.refusal().map(str::to_owned) else { return Err(refused.into()) };
    let prepared = EngineFile::write(models.prepared, models.out)?;
    let session = Session::load(&prepared.path(), Optimisation::Full, &inputs.engine)?;
    Ok((session, Some(reason)))
}

/// What the original gives for each batch.
pub(super) struct References {
    kept: ReferenceOutputs,
    pub(super) watch: Stopwatch,
}

enum ReferenceOutputs {
    /// All of it, the session gone: two models at once take twice the memory.
    Outputs(Vec<Vec<Output>>),
    /// Too much to be kept.
    Session(Session),
}

impl References {
    /// Runs the original on every batch, or keeps its session where the outputs are too many to be kept.
    pub(super) fn new(
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

    /// The outputs for the batch of this number.
    pub(super) fn outputs(&mut self, number: usize, batch: &Batch) -> Result<Cow<'_, [Output]>, BackendError> {
        match &mut self.kept {
            ReferenceOutputs::Outputs(kept) => {
                Ok(Cow::Borrowed(kept.get(number).map(Vec::as_slice).unwrap_or_default()))
            }
            ReferenceOutputs::Session(session) => {
                Ok(Cow::Owned(self.watch.time(batch.samples.len(), || session.run(batch))?))
            }
        }
    }
}
