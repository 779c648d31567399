//! The calibration pass: observers into the graph, data through it, statistics out.

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{Opened, ranges::Watch};
use crate::{
    backend::{
        BackendError, DataSource, RunInputs,
        onnx::{evaluate::batches, weights::EngineFile},
    },
    calibration::{Record, Statistics, VERSION},
    control::{Control, Phase},
    dataset::Dataset,
    engine::{Binding, Session, Slots, with_observers},
};

/// Runs the data through the model with an observer on every tensor in `watched`.
pub(super) fn observe(
    opened: &Opened,
    watched: &BTreeMap<String, Watch>,
    data: &Dataset,
    (source, samples): (&DataSource, Range<usize>),
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Record, BackendError> {
    let slots = Slots::new(watched.values().map(|watch| Statistics::new(watch.histogram)));
    let names: Vec<_> = watched.iter().map(|(name, watch)| (name, watch.format)).collect();
    let file = EngineFile::write(&with_observers(&opened.model, &names)?, out)?;
    let mut session = Session::load_observed(&file.path(), &slots, &inputs.engine)?;
    drop(file);
    let binding = Binding::new(session.inputs(), data, source.batch_size, samples)?;
    let batches = batches(&binding, control);
    let samples = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Calibrating, samples, "samples");
    for batch in batches {
        let units = batch.len() as u64;
        session.forward(&binding, batch)?;
        meter.advance(units)?;
    }
    let tensors = watched.keys().cloned().zip(slots.statistics()).collect();
    Ok(Record { version: VERSION, random: false, samples, tensors })
}

/// What an earlier job saw, if the file is its `calibration.json`: other dtypes and algorithms need no new pass.
pub(super) fn earlier(path: &Path) -> Result<Option<Record>, BackendError> {
    Record::read(path).map_err(|source| BackendError::Calibration { path: path.to_owned(), source })
}
