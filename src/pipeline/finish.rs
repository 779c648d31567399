//! What follows the backend: plan, report and manifest beside what it wrote.

use std::path::Path;

use super::{
    Finished, LocalJob, PipelineError, ShardDone, json_file::write_json, manifest, summary::report, written::Written,
};
use crate::control::{Control, Phase};

/// Writes plan, report and manifest beside what a backend wrote. `elsewhere`: what shards left that lie somewhere else.
pub(super) fn finish(
    job: &LocalJob,
    out: &Path,
    control: &Control<'_>,
    written: Written<'_>,
    elsewhere: &[ShardDone],
) -> Result<Finished, PipelineError> {
    let Written { planned, outcome, warnings, mut seconds } = written;
    for done in elsewhere {
        *seconds.entry(Phase::Quantizing.name().to_owned()).or_default() += done.seconds;
    }
    let mut files = outcome.files.clone();
    files.push(write_json(out, "plan.json", &planned.to_json())?);
    if let Some(calibration) = &outcome.calibration {
        files.push(write_json(out, "calibration.json", calibration)?);
    }
    let inputs = manifest::inputs(job, elsewhere, control)?;
    let report = report(job, outcome, inputs, warnings, seconds);
    files.push(write_json(out, "report.json", &report)?);
    let artifacts = manifest::write(job, &planned, &report, (files, elsewhere), out, control)?;
    Ok(Finished { report, artifacts })
}
