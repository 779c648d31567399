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
    engine::{Binding, Session, Slots, each_batch, random_inputs, with_observers},
};

/// What the ranges are taken from.
pub(super) enum Data<'a> {
    /// Some samples of a data file.
    Given { source: &'a DataSource, data: &'a Dataset, samples: Range<usize> },
    /// Random numbers, where the job asks for them.
    Random,
}

/// Runs the data through the model with an observer on every tensor in `watched`.
pub(super) fn observe(
    opened: &Opened,
    watched: &BTreeMap<String, Watch>,
    data: &Data<'_>,
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Record, BackendError> {
    const RANDOM_SAMPLES: usize = 16;
    const RANDOM_BATCH: usize = 8;
    let slots = Slots::new(watched.values().map(|watch| Statistics::new(watch.histogram)));
    let names: Vec<_> = watched.iter().map(|(name, watch)| (name, watch.format)).collect();
    let file = EngineFile::write(&with_observers(&opened.model, &names)?, out)?;
    let mut session = Session::load_observed(&file.path(), &slots, &inputs.engine)?;
    drop(file);
    let made;
    let (data, batch, samples) = match data {
        Data::Given { source, data, samples } => (*data, source.batch_size, samples.clone()),
        Data::Random => {
            made = random_inputs(session.inputs(), RANDOM_SAMPLES)?;
            (&made, RANDOM_BATCH, 0..made.samples())
        }
    };
    let binding = Binding::new(session.inputs(), data, batch, samples)?;
    let batches = batches(&binding, control);
    let samples = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Calibrating, samples, "samples");
    each_batch(&binding, &batches, |batch| {
        session.forward(&batch)?;
        Ok::<_, BackendError>(meter.advance(batch.samples.len() as u64)?)
    })?;
    let tensors = watched.keys().cloned().zip(slots.each(|statistics| statistics.clone())).collect();
    Ok(Record { version: VERSION, random: opened.options.random, samples, tensors })
}

/// What an earlier job saw, if the file is its `calibration.json`: other dtypes and algorithms need no new pass.
pub(super) fn earlier(path: &Path) -> Result<Option<Record>, BackendError> {
    Record::read(path).map_err(|source| BackendError::Calibration { path: path.to_owned(), source })
}
