//! What f16 does not hold: tensors whose values, in the f32 graph, come near the end of its range, or are all below it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use super::{calibrate, data::Data, opened::Opened, ranges::Watch};
use crate::{
    backend::{BackendError, DataSource, RunInputs, graph::memory},
    calibration::{self, Keep, Record},
    control::{Control, Notice},
    dataset::Dataset,
    fault::WarningCode,
    numeric::FloatFormat,
};

/// The largest magnitude that calibration may see of a tensor that becomes f16: half of f16's largest number, since data that
/// calibration does not see may go further.
const LARGEST: f32 = 32_752.0;
/// The smallest that the largest magnitude of such a tensor may be: f16's smallest normal number. Below it digits are lost, and
/// below 3e-8 everything.
const SMALLEST: f32 = 6.103_515_6e-5;

/// What calibration saw in the graph before it became f16.
pub(super) struct Floats {
    /// The range of each tensor that is to be f16.
    pub(super) record: Record,
    /// The bytes that are predicted for the pass.
    pub(super) peak: u64,
}

/// Runs these samples of the data through the f32 graph, where the job carries it to f16.
pub(super) fn observe(
    opened: &Opened,
    (source, data, samples): (&DataSource, &Dataset, &Range<usize>),
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Option<Floats>, BackendError> {
    if opened.preparation.float_tensors.is_empty() {
        return Ok(None);
    }
    // What is to be said of the data is said when it runs through the graph that is quantized.
    let quiet = |notice| {
        if !matches!(notice, Notice::Warning(_)) {
            control.notify(notice);
        }
    };
    let control = &control.listening(&quiet);
    let single = opened.in_f32()?;
    let types = single.model.graph().carried_types();
    // An observer takes tensors of one type: what may be another, or a sequence, is not watched.
    let is_f32 = |name: &&String| types.get(*name) == Some(&FloatFormat::F32.onnx());
    let watch = Watch { keep: Keep::Range, format: FloatFormat::F32 };
    let watched: BTreeMap<String, Watch> =
        opened.preparation.float_tensors.iter().filter(is_f32).map(|name| (name.clone(), watch)).collect();
    let (batch, peak) = memory::fit(&single.model, data, source.batch_size, &inputs.engine, control)?;
    let data = Data::Given { source, data, samples: samples.clone(), batch };
    Ok(Some(Floats { record: calibrate::observe(&single, &watched, &data, inputs, out, control)?, peak }))
}

/// Has what gives or reads values that f16 does not hold stay in f32. An earlier record may not tell.
pub(super) fn keep_in_f32(
    opened: &mut Opened,
    floats: Option<&Floats>,
    earlier: Option<&Record>,
    control: &Control<'_>,
) -> Result<(), BackendError> {
    let beyond: BTreeSet<String> = match (floats, earlier) {
        (Some(Floats { record, .. }), _) => {
            beyond(record.tensors.iter().map(|(name, statistics)| (name, &statistics.range)))
        }
        (None, Some(record)) if !record.float32.is_empty() => beyond(record.float32.iter()),
        (None, Some(_)) if !opened.preparation.float_tensors.is_empty() => {
            let message = "the calibration record is of no f32 graph that became f16: ranges of tensors are not in it";
            control.warn(WarningCode::HalfNotChecked, message);
            BTreeSet::new()
        }
        (None, _) => BTreeSet::new(),
    };
    if opened.options.to_half && !beyond.is_empty() {
        opened.keep_in_f32(beyond)?;
    }
    Ok(())
}

fn beyond<'a>(ranges: impl Iterator<Item = (&'a String, &'a calibration::Range)>) -> BTreeSet<String> {
    let is_held = |amax: f32| amax == 0.0 || (SMALLEST..=LARGEST).contains(&amax);
    let beyond = ranges.filter(|(_, range)| range.amax().is_some_and(|amax| !is_held(amax)));
    beyond.map(|(name, _)| name.clone()).collect()
}

/// The record of both passes: the one through the graph that is quantized, if there was one, and the one through the f32 graph.
pub(super) fn join(record: Option<Record>, floats: Option<Floats>) -> Option<Record> {
    let Some(Floats { record: seen, .. }) = floats else { return record };
    let float32 = seen.tensors.into_iter().map(|(name, statistics)| (name, statistics.range)).collect();
    let alone = Record { tensors: BTreeMap::new(), ..seen };
    Some(Record { float32, ..record.unwrap_or(alone) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_smallest_number_of_f16_to_half_of_the_largest_all_is_held_and_what_is_not_finite_does_not_count() {
        let of = |values: &[f32]| {
            let mut range = calibration::Range::default();
            range.see(values);
            range
        };
        let ranges = BTreeMap::from([
            ("largest".to_owned(), of(&[-32_752.0, 1.0])),
            ("beyond".to_owned(), of(&[-32_753.0, 1.0])),
            ("tiny".to_owned(), of(&[-1e-9, 1e-12])),
            ("zero".to_owned(), of(&[0.0])),
            ("masked".to_owned(), of(&[f32::NEG_INFINITY, 1.0])),
            ("unseen".to_owned(), of(&[])),
        ]);
        assert_eq!(beyond(ranges.iter()), BTreeSet::from(["beyond".to_owned(), "tiny".to_owned()]));
    }
}
