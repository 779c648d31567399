//! Which samples the models are compared on.

use std::{borrow::Cow, ops::Range};

use crate::{
    backend::{BackendError, DataSource, RunInputs},
    control::Control,
    dataset::{Array, Dataset, DatasetError, Values},
    engine::{Binding, EngineError, Output, Session},
    fault::WarningCode,
    report::Comparison,
};

/// Which samples of the calibration data are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Split {
    /// Those that ranges are taken from.
    pub(in crate::backend) calibration: Range<usize>,
    /// Those that the models are compared on, where there is no other data.
    evaluation: Range<usize>,
}

impl Split {
    /// Holds the last 32nd out, if there is no evaluation data and enough of these. `fixed` is the model's batch, if it
    /// has but one.
    pub(in crate::backend) fn new(source: &DataSource, data: &Dataset, hold_out: bool, fixed: Option<usize>) -> Self {
        const FEWEST: usize = 16;
        const MOST: usize = 32;
        let samples = data.samples().min(source.max_samples.unwrap_or(usize::MAX));
        let batch = fixed.unwrap_or(1).max(1);
        let held = (samples / 32).clamp(2, MOST).next_multiple_of(batch);
        if !hold_out || samples < FEWEST.max(2 * batch) {
            return Split { calibration: 0..samples, evaluation: 0..samples.min(MOST.next_multiple_of(batch)) };
        }
        Split { calibration: 0..samples - held, evaluation: samples - held..samples }
    }

    fn is_held_out(&self) -> bool {
        self.evaluation.start >= self.calibration.end
    }
}

/// The samples that the models are compared on.
#[derive(Debug)]
pub(in crate::backend) struct Samples<'a> {
    data: Cow<'a, Dataset>,
    range: Range<usize>,
    /// Samples of a batch, where the model leaves it open.
    pub(in crate::backend) batch: usize,
    /// The right class of each sample of the data.
    labels: Option<Vec<i64>>,
}

impl<'a> Samples<'a> {
    /// The evaluation data, or without it what was held out of the calibration data; `None` without either.
    pub(in crate::backend) fn choose(
        inputs: &RunInputs,
        calibration: Option<(&DataSource, &'a Dataset, Split)>,
        control: &Control<'_>,
    ) -> Result<Option<Self>, BackendError> {
        if let Some(evaluation) = &inputs.evaluation {
            let mut data = open(&evaluation.data)?;
            let labels = evaluation.labels.as_deref().map(|name| labels(&mut data, name)).transpose()?;
            let range = 0..data.samples().min(evaluation.data.max_samples.unwrap_or(usize::MAX));
            return Ok(Some(Samples { data: Cow::Owned(data), range, batch: evaluation.data.batch_size, labels }));
        }
        let Some((source, data, split)) = calibration else { return Ok(None) };
        if split.is_held_out() {
            let note =
                format!("no evaluation data: {} of the calibration samples were held out", split.evaluation.len());
            control.warn(WarningCode::EvaluatedOnHeldOut, note);
        } else {
            let note = "no evaluation data: the models were compared on the calibration data, which flatters";
            control.warn(WarningCode::EvaluatedOnCalibrationData, note);
        }
        // Smaller than for calibration, where less is kept of each.
        const MOST: usize = 2;
        let batch = source.batch_size.min(MOST);
        Ok(Some(Samples { data: Cow::Borrowed(data), range: split.evaluation, batch, labels: None }))
    }

    /// The data they are from.
    pub(in crate::backend) fn data(&self) -> &Dataset {
        &self.data
    }

    /// Adds the outputs for a batch to a comparison, with the labels of its samples.
    pub(in crate::backend) fn add(
        &self,
        comparison: &mut Comparison,
        batch: &Range<usize>,
        before: &[Output],
        after: &[Output],
    ) {
        for (number, (before, after)) in before.iter().zip(after).enumerate() {
            let size = (before.values.len() / batch.len().max(1)).max(1);
            let pairs = before.values.chunks(size).zip(after.values.chunks(size));
            for (sample, (b, a)) in batch.clone().zip(pairs) {
                let label = self.labels.as_ref().and_then(|labels| labels.get(sample).copied());
                comparison.add(number, &before.name, b, a, label);
            }
        }
    }

    /// All of them, bound to a session's inputs.
    pub(in crate::backend) fn bind(&self, session: &Session) -> Result<Binding<'_>, EngineError> {
        Binding::new(session.inputs(), &self.data, self.batch, self.range.clone())
    }

    /// The first `most`, or as many as a batch of the model needs.
    pub(in crate::backend) fn bind_few(&self, session: &Session, most: usize) -> Result<Binding<'_>, EngineError> {
        let few = |most: usize| self.range.start..self.range.end.min(self.range.start + most);
        let batch = self.batch.min(most);
        match Binding::new(session.inputs(), &self.data, batch, few(most)) {
            Err(EngineError::TooFewSamples { batch, .. }) => {
                Binding::new(session.inputs(), &self.data, batch, few(batch))
            }
            result => result,
        }
    }
}

fn labels(data: &mut Dataset, name: &str) -> Result<Vec<i64>, BackendError> {
    let array: Array = data.take(name)?;
    match (array.read(name, 0..array.samples().unwrap_or(0))?, array.shape().rank()) {
        (Values::Int(labels), 1) => Ok(labels),
        _ => Err(DatasetError::Labels { array: name.to_owned(), shape: array.shape().clone() }.into()),
    }
}

/// Opens the file or folder of a data source, with its preprocessing.
pub(in crate::backend) fn open(source: &DataSource) -> Result<Dataset, BackendError> {
    Ok(Dataset::open(&source.path, source.preprocess.as_ref())?)
}

/// The batches of bound data, with a warning if some samples do not fill one.
pub(in crate::backend) fn batches(binding: &Binding<'_>, control: &Control<'_>) -> Vec<Range<usize>> {
    let batches = binding.batches();
    let used: usize = batches.iter().map(Range::len).sum();
    let wanted = binding.samples();
    if used < wanted {
        let message = format!("{} of {wanted} samples do not fill a batch of the model", wanted - used);
        control.warn(WarningCode::SamplesLeftOut, message);
    }
    batches
}
