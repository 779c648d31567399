//! Comparing the quantized model with the original.

use std::{borrow::Cow, ops::Range, path::Path};

use super::weights::EngineFile;
use crate::{
    backend::{BackendError, DataSource, RunInputs},
    control::{Control, Phase},
    dataset::{Array, Dataset, DatasetError, Values},
    engine::{Binding, EngineError, Optimisation, Output, Session},
    model::onnx::Model,
    quant::ErrorStats,
    report::Comparison,
};

/// The models to be compared.
pub(in crate::backend) struct Compared<'a> {
    /// The model as it came.
    pub(in crate::backend) original: &'a Path,
    /// The same in a form that the engine runs where it is too old for it.
    pub(in crate::backend) prepared: &'a Model,
    /// The result.
    pub(in crate::backend) quantized: &'a Path,
    /// The folder of the result, for what the engine needs for a moment.
    pub(in crate::backend) out: &'a Path,
}

/// Which samples of the calibration data are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Split {
    /// Those that ranges are taken from.
    pub(in crate::backend) calibration: Range<usize>,
    /// Those that the models are compared on, where there is no other data.
    evaluation: Range<usize>,
}

impl Split {
    /// Holds the last eighth out, if there is no evaluation data and enough of these. `fixed` is the model's batch, if it
    /// has but one.
    pub(in crate::backend) fn new(source: &DataSource, data: &Dataset, hold_out: bool, fixed: Option<usize>) -> Self {
        const FEWEST: usize = 16;
        const MOST: usize = 32;
        let samples = data.samples().min(source.max_samples.unwrap_or(usize::MAX));
        let batch = fixed.unwrap_or(1).max(1);
        let held = (samples / 8).min(MOST).next_multiple_of(batch);
        if !hold_out || samples < FEWEST.max(2 * batch) {
            return Split { calibration: 0..samples, evaluation: 0..samples.min(MOST.next_multiple_of(batch)) };
        }
        Split { calibration: 0..samples - held, evaluation: samples - held..samples }
    }

    fn is_held_out(&self) -> bool {
        self.evaluation.start >= self.calibration.end
    }
}

/// Runs both models on the evaluation data, or without it on what was held out of the calibration data.
pub(in crate::backend) fn compare(
    models: &Compared<'_>,
    inputs: &RunInputs,
    calibration: Option<(&DataSource, &Dataset, Split)>,
    control: &Control<'_>,
) -> Result<Option<Comparison>, BackendError> {
    let own;
    let (source, data, labels, samples) = match (&inputs.evaluation, calibration) {
        (Some(evaluation), _) => {
            let mut data = open(&evaluation.data)?;
            let labels = evaluation.labels.as_deref().map(|name| labels(&mut data, name)).transpose()?;
            let samples = 0..evaluation.data.max_samples.unwrap_or(usize::MAX);
            own = data;
            (&evaluation.data, &own, labels, samples)
        }
        (None, Some((source, data, split))) => {
            if split.is_held_out() {
                let note =
                    format!("no evaluation data: {} of the calibration samples were held out", split.evaluation.len());
                control.warn("evaluated_on_held_out", note);
            } else {
                let note = "no evaluation data: the models were compared on the calibration data, which flatters";
                control.warn("evaluated_on_calibration_data", note);
            }
            (source, data, None, split.evaluation)
        }
        (None, None) => return Ok(None),
    };
    let before = original(models, inputs, control)?;
    let binding = Binding::new(before.inputs(), data, source.batch_size, samples)?;
    let batches = batches(&binding, control);
    let total = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Evaluating, total, "samples");
    let mut references = References::new(before, &binding, &batches, control)?;
    // Even its basic optimizations change what a graph with e5m2 gives.
    let mut after = Session::load(models.quantized, Optimisation::Off, &inputs.engine)?;
    let mut fused = Fused::new(models, inputs, control)?;
    let mut comparison = Comparison::default();
    for (number, batch) in batches.into_iter().enumerate() {
        let before = references.outputs(number, &binding, &batch)?;
        let after = after.run(&binding, batch.clone())?;
        fused.see(&after, &binding, &batch)?;
        for (output, (b, a)) in before.iter().zip(&after).enumerate() {
            let per_sample = (b.values.len() / batch.len()).max(1);
            for (sample, (b, a)) in b.values.chunks(per_sample).zip(a.values.chunks(per_sample)).enumerate() {
                // Classes are counted on the first output, [batch, classes]; the others enter the error alone.
                if output == 0 {
                    let label = labels.as_ref().and_then(|labels| labels.get(batch.start + sample).copied());
                    comparison.add(b, a, label);
                } else {
                    b.iter().zip(a).for_each(|(&b, &a)| comparison.outputs.add(b, a));
                }
            }
        }
        meter.advance(batch.len() as u64)?;
    }
    fused.tell(control);
    Ok(Some(comparison))
}

/// The original, or where the engine refuses it, its prepared form.
fn original(models: &Compared<'_>, inputs: &RunInputs, control: &Control<'_>) -> Result<Session, BackendError> {
    match Session::load(models.original, Optimisation::Basic, &inputs.engine) {
        Err(EngineError::Load { reason }) => {
            let prepared = EngineFile::write(models.prepared, models.out)?;
            let session = Session::load(&prepared.path(), Optimisation::Basic, &inputs.engine)?;
            let note =
                format!("the engine does not run the model as it came ({reason}); compared with its prepared form");
            control.warn("compared_with_prepared", note);
            Ok(session)
        }
        result => Ok(result?),
    }
}

/// What the original gives for each batch.
enum References {
    /// All of it, the session gone: two models at once take twice the memory.
    Kept(Vec<Vec<Output>>),
    /// Too much to be kept.
    Computed(Session),
}

impl References {
    fn new(
        mut session: Session,
        binding: &Binding<'_>,
        batches: &[Range<usize>],
        control: &Control<'_>,
    ) -> Result<Self, BackendError> {
        const MOST_VALUES: usize = 1 << 24;
        let mut kept = Vec::new();
        for batch in batches {
            control.checkpoint()?;
            let outputs = session.run(binding, batch.clone())?;
            let values: usize = outputs.iter().map(|output| output.values.len()).sum();
            if values.saturating_mul(batches.len()) > MOST_VALUES {
                return Ok(References::Computed(session));
            }
            kept.push(outputs);
        }
        Ok(References::Kept(kept))
    }

    fn outputs(
        &mut self,
        number: usize,
        binding: &Binding<'_>,
        batch: &Range<usize>,
    ) -> Result<Cow<'_, [Output]>, BackendError> {
        match self {
            References::Kept(kept) => Ok(Cow::Borrowed(&kept[number])),
            References::Computed(session) => Ok(Cow::Owned(session.run(binding, batch.clone())?)),
        }
    }
}

/// Whether onnxruntime's fused integer kernels compute what the graph says, looked at for a few samples. On x86 without VNNI
/// they add pairs of 8-bit products in 16 bits, which overflows for large weights and activations.
struct Fused {
    session: Option<Session>,
    error: ErrorStats,
    samples: usize,
}

impl Fused {
    fn new(models: &Compared<'_>, inputs: &RunInputs, control: &Control<'_>) -> Result<Self, BackendError> {
        let session = match Session::load(models.quantized, Optimisation::Full, &inputs.engine) {
            Ok(session) => Some(session),
            // It takes the model itself; what it refuses is what its optimizer makes of it.
            Err(EngineError::Load { reason }) => {
                let note = format!(
                    "onnxruntime's default optimization breaks the model ({reason}), as it does with fp8 between other \
                     operators; run it with graph optimization level ORT_DISABLE_ALL",
                );
                control.warn("default_optimization_fails", note);
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Fused { session, error: ErrorStats::default(), samples: 0 })
    }

    fn see(&mut self, exact: &[Output], binding: &Binding<'_>, batch: &Range<usize>) -> Result<(), BackendError> {
        const ENOUGH_SAMPLES: usize = 16;
        let Some(session) = &mut self.session else { return Ok(()) };
        let outputs = exact.iter().zip(session.run(binding, batch.clone())?);
        outputs.for_each(|(e, f)| e.values.iter().zip(&f.values).for_each(|(&e, &f)| self.error.add(e, f)));
        self.samples += batch.len();
        if self.samples >= ENOUGH_SAMPLES {
            self.session = None;
        }
        Ok(())
    }

    fn tell(self, control: &Control<'_>) {
        // Rounding differences between kernels stay far above this; saturation falls far below.
        const FAITHFUL_DB: f64 = 25.0;
        let Some(db) = self.error.sqnr_db().filter(|db| *db < FAITHFUL_DB) else { return };
        control.warn(
            "fused_kernels_inexact",
            format!(
                "with its default optimization, onnxruntime on this machine's CPU is only {db:.1} dB from what the model \
                 says; the figures of this report are those of the model itself. Known causes: without VNNI instructions \
                 8-bit products saturate (set backend_kwargs.reduce_range to true), and a Relu before a QuantizeLinear of \
                 fp8 is removed. Graph optimization level ORT_DISABLE_ALL computes what \
                 the model says",
            ),
        );
    }
}

fn labels(data: &mut Dataset, name: &str) -> Result<Vec<i64>, BackendError> {
    let array: Array = data.take(name)?;
    match (array.read(name, 0..array.samples().unwrap_or(0))?, array.shape().rank()) {
        (Values::Int(labels), 1) => Ok(labels),
        _ => Err(DatasetError::Labels { array: name.to_owned(), shape: array.shape().clone() }.into()),
    }
}

/// Opens a data file.
pub(in crate::backend) fn open(source: &DataSource) -> Result<Dataset, BackendError> {
    Ok(Dataset::open(&source.path)?)
}

/// The batches of bound data, with a warning if some samples do not fill one.
pub(in crate::backend) fn batches(binding: &Binding<'_>, control: &Control<'_>) -> Vec<Range<usize>> {
    let batches = binding.batches();
    let used: usize = batches.iter().map(Range::len).sum();
    let wanted = binding.samples();
    if used < wanted {
        let message = format!("{} of {wanted} samples do not fill a batch of the model", wanted - used);
        control.warn("samples_left_out", message);
    }
    batches
}
