//! A study from its beginning to its end.

use super::{study::Study, subject::Subject};
use crate::{
    backend::{
        BackendError, RunInputs,
        evaluate::{Compared, Samples, check_file},
    },
    control::Control,
    fault::WarningCode,
    report::{Comparison, LayerReport, Sensitivity},
};

/// What was found besides what is in the reports of the layers.
#[derive(Default)]
pub(in crate::backend) struct Studied {
    /// The outputs of the simulated result beside the original's; nothing where the engine does not run the simulation.
    pub(in crate::backend) comparison: Option<Comparison>,
    /// What single layers cost, if any were tried.
    pub(in crate::backend) sensitivity: Option<Sensitivity>,
}

/// Compares every layer's output, adds what is found to the reports, and tries up to `tries` layers alone. What the engine
/// cannot run is a warning: the result stands without these figures.
pub(in crate::backend) fn study(
    subject: &Subject<'_>,
    layers: &mut [(usize, LayerReport)],
    models: &Compared<'_>,
    samples: &Samples<'_>,
    tries: usize,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Studied, BackendError> {
    if subject.inputs.is_empty() {
        return Ok(Studied::default());
    }
    let studied = Study::new(subject, samples, inputs, models.out).and_then(|mut study| {
        let (comparison, all) = study.compare(layers, samples, control)?;
        if inputs.evaluation.is_none() {
            // Elsewhere the file itself is what is compared. A batch is enough to see whether it does what it should.
            if let (Some(batch), Some(exact)) = (study.batches.first(), study.after.first()) {
                check_file(models, inputs, batch, exact, control)?;
            }
        }
        let sensitivity = (tries > 0).then(|| study.sensitivity(layers, all, tries, control)).transpose()?;
        Ok(Studied { comparison: Some(comparison), sensitivity })
    });
    match studied {
        Err(BackendError::Engine(error)) => {
            let Some(reason) = error.reason() else { return Err(error.into()) };
            control.warn(
                WarningCode::LayersNotCompared,
                format!("the engine does not run the graph with changes: {reason}"),
            );
            Ok(Studied::default())
        }
        result => result,
    }
}
