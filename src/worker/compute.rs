//! The computation of one task.

use std::{path::PathBuf, sync::Arc};

use tokio::{runtime::Handle, sync::mpsc};

use super::{WorkerContext, output::TaskOutput, publish::Publisher, shard_pipeline::ShardsInFlight};
use crate::{
    compute::{self, ComputeError, Files, Output, Request, Shards},
    control::{Notice, Phase},
    fault::FaultCode,
    job::{Failure, JobSpec, ShardOutput, Work},
    panics::blocking,
    pipeline::PipelineError,
    storage::RemoteShards,
};

/// What the computation of one task works with.
#[derive(Debug)]
pub(super) struct Computation {
    pub(super) spec: JobSpec,
    pub(super) files: Files,
    pub(super) work: Work,
    /// The least size that is worth sharing among workers, if there are others.
    pub(super) apart: Option<u64>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    /// Shards that are elsewhere.
    pub(super) shards: Option<RemoteShards>,
    /// What calibrations of the same tenant saw.
    pub(super) statistics: Option<PathBuf>,
    pub(super) publisher: Publisher,
}

impl Computation {
    /// Computes it, and publishes shards as they are made.
    pub(super) async fn run(self, ctx: &WorkerContext) -> Result<TaskOutput, ComputeError> {
        let Computation { spec, files, work, apart, notices, shards, statistics, publisher } = self;
        let whole = work == Work::Whole;
        // Those of a job that is fanned out were brought before.
        let in_flight = shards.filter(|_| whole);
        let in_flight = in_flight.map(|shards| ShardsInFlight::start(Handle::current(), shards, publisher.clone()));
        let in_flight = in_flight.map(Arc::new);
        let mut joined = Vec::new();
        let work = match work {
            Work::Whole => compute::Work::Whole { apart, streamed: in_flight.is_some() },
            Work::Shard { index, plan } => compute::Work::Shard { index, plan },
            Work::Join { plan, outputs } => {
                joined = outputs.ok_or_else(|| Failure::new(&PipelineError::PlanChanged, None))?;
                compute::Work::Join { plan, shards: joined.iter().map(|shard| shard.done.clone()).collect() }
            }
        };
        let seconds = spec.timeout_seconds.map(u64::from);
        let request = Request {
            spec,
            files,
            work,
            out: publisher.folder.clone(),
            library: ctx.engine.library.clone(),
            openvino: ctx.engine.openvino.clone(),
            threads: ctx.engine.threads,
            engine_memory: ctx.engine.memory,
            memory: ctx.memory_bytes,
            statistics,
        };
        let heard = notices.clone();
        let notify = move |notice| {
            let _ = heard.send(notice);
        };
        let remote = in_flight.clone().map(|shards| shards as Shards);
        let computed = ctx.compute.run(request, seconds, remote, notify, &publisher.canceller).await;
        if let (Err(_), Some(in_flight)) = (&computed, &in_flight) {
            in_flight.abandon();
        }
        let output = computed.inspect_err(|error| {
            if error.failure.retryable {
                tracing::warn!(error = error.failure.message, "the computation failed on its surroundings");
            }
        })?;
        match output {
            Output::Whole(done) => Ok(TaskOutput::Job(done, joined)),
            Output::Streamed(done, shards) => {
                let _ = notices.send(Notice::Phase(Phase::Publishing));
                if let Some(in_flight) = in_flight {
                    let finished = blocking(move || in_flight.finish()).await;
                    let failed = |error| Failure::new(&error, Some(Phase::Publishing));
                    finished.map_err(|panicked| Failure::new(&panicked, None))?.map_err(failed)?;
                }
                let prefix = &publisher.prefix;
                let outputs = shards.into_iter().map(|done| ShardOutput { done, prefix: prefix.clone() });
                Ok(TaskOutput::Job(done, outputs.collect()))
            }
            Output::Shard(done) => Ok(TaskOutput::Shard(done)),
            Output::Apart(shards) => Ok(TaskOutput::Apart(shards)),
            Output::Plan(_) | Output::Companions(_) | Output::Probe(_) => {
                Err(Failure::plain(FaultCode::InternalError, "the computation answered another request").into())
            }
        }
    }
}
