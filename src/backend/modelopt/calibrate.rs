//! The calibration pass: observers into the graph, data through it, statistics out.

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{Opened, ranges::Watch};
use crate::{
    backend::{
        BackendError, RunInputs,
        onnx::{evaluate::batches, weights::EngineFile},
    },
    calibration::{Record, Statistics, VERSION},
    control::{Control, Phase},
    dataset::{Dataset, oddities},
    engine::{Binding, EngineConfig, Session, Slots, in_lanes, random_inputs, with_observers},
};

/// What the ranges are taken from.
pub(super) enum Data<'a> {
    /// Some samples of a data file.
    Given { data: &'a Dataset, samples: Range<usize>, batch: usize },
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
    let first = Session::load_observed(&file.path(), &slots, &inputs.engine)?;
    let made;
    let (data, batch, samples) = match data {
        Data::Given { data, samples, batch } => (*data, *batch, samples.clone()),
        Data::Random => {
            made = random_inputs(first.inputs(), RANDOM_SAMPLES)?;
            (&made, RANDOM_BATCH, 0..made.samples())
        }
    };
    for (code, message) in oddities(data, samples.clone())? {
        control.warn(code, message);
    }
    let (mut sessions, batch) = lanes(first, &slots, &file, (batch, samples.len()), inputs)?;
    drop(file);
    let infos = sessions[0].inputs().to_vec();
    let binding = Binding::new(&infos, data, batch, samples)?;
    let batches = batches(&binding, control);
    let samples = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Calibrating, samples, "samples");
    in_lanes(&mut sessions, &binding, &batches, |batch| {
        Ok::<_, BackendError>(meter.advance(batch.samples.len() as u64)?)
    })?;
    let tensors = watched.keys().cloned().zip(slots.each(|statistics| statistics.clone())).collect();
    Ok(Record { version: VERSION, random: opened.options.random, samples, tensors })
}

/// Two sessions of half the threads and half the batch get more done than one: what runs on one thread in one of them, such
/// as an observer, does not keep the threads of the other waiting. The sessions and the batch of each.
fn lanes(
    first: Session,
    slots: &Slots<Statistics>,
    file: &EngineFile,
    (batch, samples): (usize, usize),
    inputs: &RunInputs,
) -> Result<(Vec<Session>, usize), BackendError> {
    const WORTH_IT: usize = 4;
    let fixed = first.inputs().iter().any(|input| input.dims.first().is_some_and(|&dim| dim > 0));
    let half = if fixed { batch } else { batch / 2 };
    if inputs.engine.threads < 2 || half == 0 || samples < WORTH_IT * half {
        return Ok((vec![first], batch));
    }
    drop(first);
    let config = EngineConfig { threads: inputs.engine.threads / 2, ..inputs.engine.clone() };
    let load = || Session::load_observed(&file.path(), slots, &config);
    Ok((vec![load()?, load()?], half))
}

/// What an earlier job saw, if the file is its `calibration.json`: other dtypes and algorithms need no new pass.
pub(super) fn earlier(path: &Path) -> Result<Option<Record>, BackendError> {
    Record::read(path).map_err(|source| BackendError::Calibration { path: path.to_owned(), source })
}
