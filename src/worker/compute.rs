//! The computation of one task, on a thread of its own.

use std::sync::{Mutex, PoisonError};

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    output::{TaskError, TaskOutput},
    publish::Publisher,
    shard_pipeline::ShardsInFlight,
};
use crate::{
    control::{Control, Notice, Phase},
    fault::{Fault, chain},
    job::{Failure, ShardOutput, Work},
    panics::blocking,
    pipeline::{self, LocalJob, PipelineError, Purpose},
    storage::RemoteShards,
};

/// What the computation of one task works with, besides the job.
#[derive(Debug)]
pub(super) struct Computation {
    pub(super) work: Work,
    /// The least size that is worth sharing among workers, if there are others.
    pub(super) apart: Option<u64>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) runtime: Handle,
    /// Shards that are elsewhere.
    pub(super) shards: Option<RemoteShards>,
    pub(super) publisher: Publisher,
}

/// Runs the pipeline on a thread of its own. A panic there fails the job, not the worker.
pub(super) async fn compute(job: LocalJob, computation: Computation) -> Result<TaskOutput, TaskError> {
    let span = tracing::info_span!("compute");
    let joined = blocking(move || span.in_scope(|| computation.run(&job))).await;
    joined.unwrap_or_else(|panicked| Err(Failure::new(&panicked, None).into()))
}

impl Computation {
    fn run(self, job: &LocalJob) -> Result<TaskOutput, TaskError> {
        let phase = Mutex::new(None);
        let notify = |notice: Notice| {
            if let Notice::Phase(now) = &notice {
                *phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
            }
            let _ = self.notices.send(notice);
        };
        let control = Control::new(&notify, &self.publisher.canceller);
        self.execute(job, &control).map_err(|error| {
            if error.code().retryable() {
                tracing::warn!(error = chain(&error), "the pipeline failed on its surroundings");
            }
            let phase = *phase.lock().unwrap_or_else(PoisonError::into_inner);
            TaskError { needs_bytes: error.needs_bytes(), failure: failure(&error, phase) }
        })
    }

    fn execute(&self, job: &LocalJob, control: &Control<'_>) -> Result<TaskOutput, PipelineError> {
        let out = &self.publisher.folder;
        match &self.work {
            Work::Whole => {
                if let Some(shards) = self.apart.map(|least| worth_sharing(job, least, control)).transpose()?.flatten()
                {
                    return Ok(TaskOutput::Apart(shards));
                }
                match &self.shards {
                    Some(shards) => self.run_streamed(job, shards, control),
                    None => Ok(TaskOutput::Whole(pipeline::run(job, out, control)?)),
                }
            }
            Work::Shard { index, plan } => {
                Ok(TaskOutput::Shard(Box::new(pipeline::run_shard(job, plan, *index, out, control)?)))
            }
            Work::Join { plan, outputs } => {
                let shards = outputs.clone().ok_or(PipelineError::PlanChanged)?;
                let done = shards.iter().map(|shard| shard.done.clone()).collect();
                Ok(TaskOutput::Joined(pipeline::join(job, plan, done, out, control)?, shards))
            }
        }
    }

    /// The whole job, its shards published as they are made.
    fn run_streamed(
        &self,
        job: &LocalJob,
        shards: &RemoteShards,
        control: &Control<'_>,
    ) -> Result<TaskOutput, PipelineError> {
        let Publisher { prefix, folder, .. } = &self.publisher;
        let in_flight = ShardsInFlight::start(self.runtime.clone(), shards.clone(), self.publisher.clone());
        let (finished, done) = pipeline::run_streamed(job, folder, control, &in_flight)?;
        control.notify(Notice::Phase(Phase::Publishing));
        in_flight.finish()?;
        let outputs = done.into_iter().map(|done| ShardOutput { done, prefix: prefix.clone() });
        Ok(TaskOutput::Joined(finished, outputs.collect()))
    }
}

/// The failure that an error of the pipeline is, with every objection.
pub(super) fn failure(error: &PipelineError, phase: Option<Phase>) -> Failure {
    let failure = Failure::new(error, phase);
    match error {
        PipelineError::Objections(objections) => failure.with_errors(objections),
        _ => failure,
    }
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
