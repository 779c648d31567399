//! What is computed for a [`Request`], in a child or in this process.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde_json::json;

use super::{
    probe,
    request::{ComputeError, Done, Output, Request, Work},
};
use crate::{
    control::{Control, Notice, Phase},
    job::{AdmittedJob, DryRun, Failure},
    model,
    pipeline::{self, Finished, LocalJob, PipelineError, Purpose, ShardPipeline},
};

/// Computes what is asked for. `shards` brings and takes away the shards of a checkpoint that is elsewhere.
pub(super) fn compute(
    request: &Request,
    shards: Option<&dyn ShardPipeline>,
    control: &Control<'_>,
) -> Result<Output, ComputeError> {
    let phase = Mutex::new(None);
    let notify = |notice: Notice| {
        if let Notice::Phase(now) = &notice {
            *phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
        }
        control.notify(notice);
    };
    execute(request, shards, &control.listening(&notify)).map_err(|error| {
        let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
        ComputeError { needs_bytes: error.needs_bytes(), failure: failure(&error, phase) }
    })
}

fn execute(
    request: &Request,
    shards: Option<&dyn ShardPipeline>,
    control: &Control<'_>,
) -> Result<Output, PipelineError> {
    let out = request.out.as_path();
    // The rules are parsed here, where their patterns harm nobody.
    let job = || {
        let (spec, files, machine) = request.parts(control.canceller());
        let admitted = AdmittedJob::restore(spec).map_err(PipelineError::Objections)?;
        Ok::<LocalJob, PipelineError>(admitted.local(files, machine))
    };
    Ok(match &request.work {
        Work::Whole { apart, .. } => return whole(&job()?, *apart, shards, out, control),
        Work::Shard { index, plan } => {
            Output::Shard(Box::new(pipeline::run_shard(&job()?, plan, *index, out, control)?))
        }
        Work::Join { plan, shards } => {
            Output::Whole(pipeline::join(&job()?, plan, shards.clone(), out, control)?.into())
        }
        Work::Plan => Output::Plan(Box::new(dry_run(&job()?)?)),
        Work::Companions => Output::Companions(model::companions(&request.files.model).map_err(PipelineError::moved)?),
        Work::Probe { files } => Output::Probe(probe::attempt(files)),
    })
}

/// A whole job, unless it is worth taking apart.
fn whole(
    job: &LocalJob,
    apart: Option<u64>,
    shards: Option<&dyn ShardPipeline>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Output, PipelineError> {
    if let Some(shards) = apart.map(|least| worth_sharing(job, least, control)).transpose()?.flatten() {
        return Ok(Output::Apart(shards));
    }
    match shards {
        Some(shards) => {
            let (finished, done) = pipeline::run_streamed(job, out, control, shards)?;
            Ok(Output::Streamed(finished.into(), done))
        }
        None => Ok(Output::Whole(pipeline::run(job, out, control)?.into())),
    }
}

fn dry_run(job: &LocalJob) -> Result<DryRun, PipelineError> {
    let planned = pipeline::plan(job, Purpose::Look)?;
    let predicted = planned.predict()?;
    Ok(DryRun {
        plan: planned.to_json(),
        warnings: planned.warnings().to_vec(),
        bytes: predicted.weights,
        peak_bytes: predicted.peak,
        shards: planned.shard_bytes().map(|shards| shards.len()),
    })
}

/// The bytes of each shard, if there are enough of them to be shared among workers.
fn worth_sharing(job: &LocalJob, least: u64, control: &Control<'_>) -> Result<Option<Vec<u64>>, PipelineError> {
    control.notify(Notice::Phase(Phase::Validating));
    let planned = pipeline::plan(job, Purpose::Run)?;
    let shards = planned.shard_bytes().filter(|shards| shards.iter().sum::<u64>() >= least);
    if shards.is_some() {
        planned.announce(control)?;
    }
    Ok(shards)
}

/// The failure that an error of the pipeline is, with every objection.
fn failure(error: &PipelineError, phase: Option<Phase>) -> Failure {
    let failure = Failure::new(error, phase);
    match error {
        PipelineError::Objections(objections) => failure.with_errors(objections),
        _ => failure,
    }
}

impl From<Finished> for Done {
    fn from(finished: Finished) -> Self {
        let Finished { report, artifacts } = finished;
        Done { artifacts, summary: json!(report.summary), quality_gate: json!(report.quality_gate) }
    }
}
