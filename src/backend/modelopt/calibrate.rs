//! The calibration pass: observers into the graph, data through it, statistics out.

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{data::Data, mask, opened::Opened, ranges::Watch, reuse::CachedStatistics};
use crate::{
    backend::{BackendError, RunInputs, evaluate::batches, graph::weights::EngineFile},
    calibration::{Record, Statistics, VERSION},
    control::{Control, Phase},
    dataset::{Dataset, data_checks},
    engine::{Binding, EngineConfig, Session, Slots, in_lanes, random_inputs, with_observers},
    fault::WarningCode,
};

/// The largest model that is loaded twice.
const LARGEST_TWICE: u64 = 1 << 30;

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
    let kept = CachedStatistics::find(opened, watched, data, inputs, control)?;
    if let (Some(record), Data::Given { data, samples, .. }) = (kept.as_ref().and_then(CachedStatistics::read), data) {
        warn_of_data(data, samples.clone(), control)?;
        let message = "an earlier job ran the same data through the same model: what it saw was used";
        control.warn(WarningCode::CalibrationReused, message);
        return Ok(record);
    }
    let mask = match data {
        Data::Given { source, .. } => opened.mask(source),
        Data::Random => None,
    };
    if let (Data::Given { source, data, samples, .. }, Some(mask)) = (data, mask)
        && source.mask_input.is_some()
    {
        mask::check(data, mask, samples.clone())?;
    }
    let slots = Slots::new(watched.values().map(|watch| Statistics::new(watch.keep)));
    let names: Vec<_> = watched.iter().map(|(name, watch)| (name, watch.format)).collect();
    let file = EngineFile::write(&with_observers(&opened.model, &names, mask), out)?;
    let load = |threads: usize| {
        Session::load_observed(&file.path(), &slots, &EngineConfig { threads, ..inputs.engine.clone() })
    };
    let made;
    let (data, batch, samples) = match data {
        Data::Given { data, samples, batch, .. } => (*data, *batch, samples.clone()),
        Data::Random => {
            made = random_inputs(load(1)?.inputs(), RANDOM_SAMPLES)?;
            (&made, RANDOM_BATCH, 0..made.samples())
        }
    };
    warn_of_data(data, samples.clone(), control)?;
    let (lanes, batch) = lanes(opened, batch, samples.len(), inputs.engine.threads);
    let load = || load(inputs.engine.threads / lanes);
    let first = load()?;
    let infos = first.inputs().to_vec();
    let binding = Binding::new(&infos, data, batch, samples)?;
    let batches = batches(&binding, control);
    let samples = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Calibrating, samples, "samples");
    in_lanes(first, lanes, load, &binding, &batches, |batch| {
        Ok::<_, BackendError>(meter.advance(batch.samples.len() as u64)?)
    })?;
    let tensors = watched.keys().cloned().zip(slots.each(|statistics| statistics.clone())).collect();
    let mask_input = mask.map(str::to_owned);
    let random = opened.options.random;
    let record = Record { version: VERSION, random, mask_input, samples, tensors, float32: BTreeMap::new() };
    if let Some(kept) = kept {
        kept.write(&record);
    }
    Ok(record)
}

fn warn_of_data(data: &Dataset, samples: Range<usize>, control: &Control<'_>) -> Result<(), BackendError> {
    for (code, message) in data_checks(data, samples)? {
        control.warn(code, message);
    }
    Ok(())
}

/// How many sessions, and the batch of each. Two of half the threads get more done than one: what runs on one thread in one
/// of them, such as an observer, does not keep the threads of the other waiting. Each has a quarter of the batch, so that
/// the activations of both take less than those of one, and the constants that each has for itself fit beside them.
fn lanes(opened: &Opened, batch: usize, samples: usize, threads: usize) -> (usize, usize) {
    const FEWEST_BATCHES: usize = 4;
    let fixed = opened.fixed_batch().is_some();
    let part = if fixed { batch } else { batch.div_ceil(4) };
    let small = opened.model.file_bytes <= LARGEST_TWICE;
    if threads < 2 || samples < FEWEST_BATCHES * part || !small { (1, batch) } else { (2, part) }
}

/// What an earlier job saw, if the file is its `calibration.json`: other dtypes and algorithms need no new pass.
pub(super) fn earlier(path: &Path) -> Result<Option<Record>, BackendError> {
    Record::read(path).map_err(|source| BackendError::Calibration { path: path.to_owned(), source })
}
