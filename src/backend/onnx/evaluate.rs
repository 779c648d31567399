//! Comparing the quantized model with the original.

use std::ops::Range;

use crate::{
    backend::{BackendError, DataSource, RunInputs},
    control::{Control, Phase},
    dataset::{Array, Dataset, DatasetError, Values},
    engine::{Binding, EngineError, Optimisation, Session},
    model::onnx::Model,
    quant::ErrorStats,
    report::Comparison,
};

/// Runs both models on the evaluation data, or without it on the calibration data. `prepared` is the original in a form that
/// the engine runs where it is too old for it.
pub(in crate::backend) fn compare(
    (original, prepared): (&Model, &Model),
    quantized: &[u8],
    inputs: &RunInputs,
    calibration: Option<&(&DataSource, Dataset)>,
    control: &Control<'_>,
) -> Result<Option<Comparison>, BackendError> {
    let own;
    let (source, data, labels) = match (&inputs.evaluation, calibration) {
        (Some(evaluation), _) => {
            let mut data = open(&evaluation.data)?;
            let labels = evaluation.labels.as_deref().map(|name| labels(&mut data, name)).transpose()?;
            own = data;
            (&evaluation.data, &own, labels)
        }
        (None, Some((source, data))) => {
            let note = "no evaluation data: the models were compared on the calibration data, which flatters";
            control.warn("evaluated_on_calibration_data", note);
            (*source, data, None)
        }
        (None, None) => return Ok(None),
    };
    let mut before = match Session::load(&original.to_bytes()?, Optimisation::Basic, &inputs.engine) {
        Ok(session) => session,
        Err(EngineError::Load { reason }) if original.opset() != prepared.opset() => {
            let note =
                format!("the engine does not run the model as it came ({reason}); compared with its upgraded form");
            control.warn("compared_with_upgraded", note);
            Session::load(&prepared.to_bytes()?, Optimisation::Basic, &inputs.engine)?
        }
        Err(error) => return Err(error.into()),
    };
    let mut after = Session::load(quantized, Optimisation::Basic, &inputs.engine)?;
    let binding = Binding::new(before.inputs(), data, source.batch_size, source.max_samples)?;
    let batches = batches(&binding, control);
    check_fused(&mut after, quantized, &binding, &batches, inputs, control)?;
    let total = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Evaluating, total, "samples");
    let mut comparison = Comparison::default();
    for batch in batches {
        let outputs = before.run(&binding, batch.clone())?.into_iter().zip(after.run(&binding, batch.clone())?);
        for (number, (b, a)) in outputs.enumerate() {
            let per_sample = (b.values.len() / batch.len()).max(1);
            for (sample, (b, a)) in b.values.chunks(per_sample).zip(a.values.chunks(per_sample)).enumerate() {
                // Classes are counted on the first output, [batch, classes]; the others enter the error alone.
                if number == 0 {
                    let label = labels.as_ref().and_then(|labels| labels.get(batch.start + sample).copied());
                    comparison.add(b, a, label);
                } else {
                    b.iter().zip(a).for_each(|(&b, &a)| comparison.outputs.add(b, a));
                }
            }
        }
        meter.advance(batch.len() as u64)?;
    }
    Ok(Some(comparison))
}

/// Warns if onnxruntime's fused integer kernels compute something else than the graph says. On x86 without VNNI they
/// add pairs of 8-bit products in 16 bits, which overflows for large weights and activations.
fn check_fused(
    exact: &mut Session,
    quantized: &[u8],
    binding: &Binding<'_>,
    batches: &[Range<usize>],
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<(), BackendError> {
    const ENOUGH_SAMPLES: usize = 64;
    // Rounding differences between kernels stay far above this; saturation falls far below.
    const FAITHFUL_DB: f64 = 25.0;
    let mut fused = match Session::load(quantized, Optimisation::Full, &inputs.engine) {
        Ok(session) => session,
        // It takes the model itself; what it refuses is what its optimizer makes of it.
        Err(EngineError::Load { reason }) => {
            let note = format!(
                "onnxruntime's default optimization breaks the model ({reason}), as it does with fp8 between other \
                 operators; run it with ORT_ENABLE_BASIC or the session option `session.disable_quant_qdq` = 1",
            );
            control.warn("default_optimization_fails", note);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut error = ErrorStats::default();
    for batch in batches.iter().take_while(|batch| batch.start < ENOUGH_SAMPLES).cloned() {
        let outputs = exact.run(binding, batch.clone())?.into_iter().zip(fused.run(binding, batch)?);
        outputs.for_each(|(e, f)| e.values.iter().zip(&f.values).for_each(|(&e, &f)| error.add(e, f)));
    }
    if let Some(db) = error.sqnr_db().filter(|db| *db < FAITHFUL_DB) {
        control.warn(
            "fused_kernels_inexact",
            format!(
                "with its default optimization, onnxruntime on this machine's CPU is only {db:.1} dB from what the model \
                 says; the figures of this report are those of the model itself. Known causes: without VNNI instructions \
                 8-bit products saturate (set backend_kwargs.reduce_range to true), and a Relu before a QuantizeLinear of \
                 fp8 is removed. ORT_ENABLE_BASIC, or the session option `session.disable_quant_qdq` = 1, computes what \
                 the model says",
            ),
        );
    }
    Ok(())
}

fn labels(data: &mut Dataset, name: &str) -> Result<Vec<i64>, BackendError> {
    let array: Array = data.take(name)?;
    match (array.values(), array.shape().rank()) {
        (Values::Int(labels), 1) => Ok(labels.clone()),
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
