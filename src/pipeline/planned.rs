//! [`PlannedJob`]: a job checked, its model opened, its plan made.

use serde_json::{Value, json};

use super::{LocalJob, PipelineError};
use crate::{
    backend::{self, Backend, Prediction, Prepared},
    control::{Control, Notice},
    model,
    spec::{Objection, ObjectionCode, Plan, Warning},
};

/// A job that passed every check, its model opened and its plan made.
pub struct PlannedJob<'a> {
    pub(super) job: &'a LocalJob,
    backend: &'static dyn Backend,
    pub(super) prepared: Box<dyn Prepared>,
    warnings: Vec<Warning>,
}

impl std::fmt::Debug for PlannedJob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedJob").field("job", self.job).finish_non_exhaustive()
    }
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be carried out.
    Run,
    /// To be looked at; calibration data may be missing still.
    Look,
}

/// Checks a job and opens its model. Every objection is reported, those of the rules before those of the model.
pub fn plan(job: &LocalJob, purpose: Purpose) -> Result<PlannedJob<'_>, PipelineError> {
    let (backend, mut objections, warnings) = backend::check(&job.spec, job.inputs.calibration.is_some());
    if purpose == Purpose::Look {
        objections.retain(|objection| objection.code != ObjectionCode::CalibrationMissing);
    }
    let (Some(backend), true) = (backend, objections.is_empty()) else {
        return Err(PipelineError::Objections(objections));
    };
    let format = model::detect(&job.model)?;
    let capabilities = backend.capabilities();
    if !capabilities.formats.contains(&format.name) {
        let message = format!("backend `{}` does not take {} models", capabilities.name, format.name);
        let takers = backend::BACKENDS.iter().map(|b| b.capabilities()).filter(|c| c.formats.contains(&format.name));
        let takers: Vec<String> = takers.map(|c| format!("`{}` ({})", c.name, c.mode.name())).collect();
        let hint = match takers.as_slice() {
            [] => format!("it takes {}", capabilities.formats.join(", ")),
            takers => format!("for {} models use backend {}", format.name, takers.join(" or ")),
        };
        let objection = Objection::new("/model/uri", ObjectionCode::UnsupportedModelFormat, message).hint(hint);
        return Err(PipelineError::Objections(vec![objection.allowed(capabilities.formats)]));
    }
    let prepared = backend.open(&job.spec, &job.model)?;
    let resolved = prepared.resolved();
    let objections = [resolved.objections.clone(), prepared.objections(&job.inputs)].concat();
    if !objections.is_empty() {
        return Err(PipelineError::Objections(objections));
    }
    // Some of them may have been reported when the job was admitted.
    let more = warnings.iter().filter(|warning| !job.warnings.contains(warning));
    let warnings = job.warnings.iter().chain(more).chain(&resolved.warnings).cloned().collect();
    Ok(PlannedJob { job, backend, prepared, warnings })
}

impl PlannedJob<'_> {
    /// What will happen to each layer.
    pub fn plan(&self) -> &Plan {
        &self.prepared.resolved().plan
    }

    /// The rules as they will be carried out.
    pub fn effective_config(&self) -> Value {
        backend::effective(&self.job.spec, self.backend.capabilities())
    }

    /// The plan as it is kept.
    pub fn to_json(&self) -> Value {
        json!({"effective_config": self.effective_config(), "plan": self.plan()})
    }

    /// Tells the plan and what is to be said about it.
    pub fn announce(&self, control: &Control<'_>) -> Result<(), PipelineError> {
        control.notify(Notice::Plan(self.to_json()));
        for warning in self.warnings() {
            control.notify(Notice::Warning(warning.clone()));
        }
        Ok(control.checkpoint()?)
    }

    /// What the run is expected to leave and to take.
    pub fn predict(&self) -> Result<Prediction, PipelineError> {
        Ok(self.prepared.predict(&self.job.inputs)?)
    }

    /// The bytes of each shard, if the shards can be done apart from each other.
    pub fn shard_bytes(&self) -> Option<Vec<u64>> {
        Some(self.prepared.sharded()?.shard_bytes())
    }

    /// The warnings of the request and of planning.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
