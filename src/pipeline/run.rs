//! A whole job at once.

use std::path::Path;

use super::{
    Finished, LocalJob, PipelineError, Purpose, finish::finish, planned::plan, threads::on_threads, written::listened,
};
use crate::control::Control;

/// Runs a job and writes its artifacts into the folder `out`, which is empty or holds what an interrupted run of the same
/// job left. Computes on threads of its own, as many as the engine may use.
pub fn run(job: &LocalJob, out: &Path, control: &Control<'_>) -> Result<Finished, PipelineError> {
    on_threads(job, || {
        let written = listened(control, |control| {
            let mut planned = plan(job, Purpose::Run)?;
            planned.announce(control)?;
            let outcome = planned.prepared.run(&job.inputs, out, control)?;
            Ok((planned, outcome))
        })?;
        finish(job, out, control, written, &[])
    })
}
