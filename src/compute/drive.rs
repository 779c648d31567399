//! Runs a request in a child and listens to it to its end.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    believe,
    cell::Cell,
    isolation::Isolation,
    limits::Confinement,
    pool::Compute,
    protocol::{FromChild, Moved, ToChild},
    request::{ComputeError, Output, Request},
    verdict::Ended,
    work,
};
use crate::{
    control::{Canceller, Control, Notice, Phase},
    fault::FaultCode,
    job::Failure,
    panics::blocking,
    pipeline::{PipelineError, ShardPipeline},
};

/// From the wish that a child stops to its end.
const GRACE: Duration = Duration::from_secs(1);
/// From a child's last message to its end.
const LEAVING: Duration = Duration::from_secs(2);
/// Notices that are not progress: phases, plans, warnings. A computation has some dozens.
const MOST_NOTICES: usize = 10_000;
/// Between two notices of progress that are passed on.
const PROGRESS: Duration = Duration::from_millis(20);

/// What brings and takes away shards, from whichever thread.
pub type Shards = Arc<dyn ShardPipeline + Send + Sync>;

impl Compute {
    /// Computes what is asked for. `seconds`: the longest that it may take. `notify` hears how far it is, and `canceller`
    /// stops it: within a second, whatever it does.
    pub async fn run(
        &self,
        request: Request,
        seconds: Option<u64>,
        shards: Option<Shards>,
        notify: impl Fn(Notice) + Send + Sync + 'static,
        canceller: &Canceller,
    ) -> Result<Output, ComputeError> {
        if self.isolation() == Isolation::Off {
            return here(request, shards, notify, canceller.clone()).await;
        }
        let limits = Confinement::of(&request, seconds, self.isolation() == Isolation::Strict);
        let cell = self.take().map_err(|error| no_process(&error))?;
        let session = Session { limits, phase: None, notices: 0, progress: None, notify: &notify };
        session.run(cell, request, shards, canceller).await
    }
}

/// The same in this process. A panic fails the job alone.
async fn here(
    request: Request,
    shards: Option<Shards>,
    notify: impl Fn(Notice) + Send + Sync + 'static,
    canceller: Canceller,
) -> Result<Output, ComputeError> {
    let computed = blocking(move || {
        let control = Control::new(&notify, &canceller);
        let shards: Option<&dyn ShardPipeline> = match &shards {
            Some(shards) => Some(&**shards),
            None => None,
        };
        work::compute(&request, shards, &control)
    });
    computed.await.unwrap_or_else(|panicked| Err(Failure::new(&panicked, None).into()))
}

fn no_process(error: &io::Error) -> ComputeError {
    Failure::plain(FaultCode::ThreadsUnavailable, format!("no process could be started for the computation: {error}"))
        .into()
}

/// One request with its child.
struct Session<'a> {
    limits: Confinement,
    phase: Option<Phase>,
    /// How many were no progress.
    notices: usize,
    /// When the last progress was passed on.
    progress: Option<Instant>,
    notify: &'a (dyn Fn(Notice) + Send + Sync),
}

impl Session<'_> {
    async fn run(
        mut self,
        mut cell: Cell,
        request: Request,
        shards: Option<Shards>,
        canceller: &Canceller,
    ) -> Result<Output, ComputeError> {
        let stopped = Arc::new(Notify::new());
        let stop = Arc::clone(&stopped);
        let _hook = canceller.on_cancel(move || stop.notify_one());
        let (out, elsewhere) = (request.out.clone(), believe::elsewhere(&request.work));
        let mut lost = cell.say(&ToChild::Confine(self.limits.clone())).await.is_err()
            || cell.say(&ToChild::Run(Box::new(request))).await.is_err();
        let mut deadline = None;
        while !lost {
            let message = tokio::select! {
                () = stopped.notified(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + GRACE);
                    // One that does not listen is ended when its time is up.
                    let _ = tokio::time::timeout(GRACE, cell.say(&ToChild::Stop)).await;
                    continue;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    cell.kill();
                    break;
                }
                message = cell.said.recv() => message,
            };
            match message {
                Some(Ok(FromChild::Ended(ended))) => return self.ended(ended, cell, &elsewhere, &out).await,
                Some(Ok(FromChild::Unconfined(missing))) => {
                    let message = format!("isolation is strict, and the kernel does not give all of it: {missing}");
                    return Err(Failure::plain(FaultCode::SandboxUnavailable, message).into());
                }
                Some(Ok(message)) => lost = self.respond(message, &mut cell, shards.as_ref(), &out).await.is_err(),
                Some(Err(_)) | None => lost = true,
            }
        }
        let stopping = deadline.is_some();
        let (status, words) = cell.end(GRACE).await;
        if stopping {
            let message = PipelineError::from(crate::control::Cancelled);
            return Err(Failure::new(&message, self.phase).into());
        }
        if !words.is_empty() {
            tracing::warn!(said = words, "the process of a computation ended early");
        }
        let Confinement { memory, engine_memory, .. } = self.limits;
        Err(Ended { status, words: &words, memory, engine_memory, phase: self.phase }.failure())
    }

    /// The result, once it was looked at and the child is gone: nobody writes to it any more.
    async fn ended(
        &self,
        ended: Result<Output, ComputeError>,
        cell: Cell,
        elsewhere: &BTreeSet<String>,
        out: &Path,
    ) -> Result<Output, ComputeError> {
        let (_, words) = cell.end(LEAVING).await;
        if !words.is_empty() {
            tracing::warn!(said = words, "a computation had something to say");
        }
        let output = ended.map_err(|error| self.within_limits(error))?;
        believe::output(&output, elsewhere, out).map_err(|why| unbelieved(&why))?;
        Ok(output)
    }

    /// Memory that ran out within a limit runs out again, except where the limit is higher.
    fn within_limits(&self, error: ComputeError) -> ComputeError {
        let ran_out = *error.failure.code == *FaultCode::EngineOutOfMemory.name() && self.limits.memory.is_some();
        if !ran_out {
            return error;
        }
        let needs_bytes = error.needs_bytes.or(self.limits.engine_memory.map(|bytes| bytes.saturating_add(1)));
        ComputeError { failure: Failure { retryable: false, ..error.failure }, needs_bytes }
    }

    async fn respond(
        &mut self,
        message: FromChild,
        cell: &mut Cell,
        shards: Option<&Shards>,
        out: &Path,
    ) -> io::Result<()> {
        let answer = match (message, shards) {
            (FromChild::Notice(notice), _) => return self.pass_on(notice),
            (FromChild::Bring(name), Some(shards)) => {
                let shards = Arc::clone(shards);
                let brought = blocking(move || shards.bring(&name).map_err(|error| Moved::from(&error)));
                ToChild::Brought(brought.await.map_err(io::Error::other)?)
            }
            (FromChild::Take(done), Some(shards)) => {
                believe::shard(&done, out).map_err(io::Error::other)?;
                let shards = Arc::clone(shards);
                let taken = blocking(move || shards.take(&done).map_err(|error| Moved::from(&error)));
                ToChild::Taken(taken.await.map_err(io::Error::other)?)
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        cell.say(&answer).await
    }

    /// Passes a notice on, unless there are more than a computation has.
    fn pass_on(&mut self, notice: Notice) -> io::Result<()> {
        let counts = match &notice {
            Notice::Progress(_, progress) => {
                let last = progress.units_done >= progress.units_total;
                if self.progress.is_some_and(|at| at.elapsed() < PROGRESS) && !last {
                    return Ok(());
                }
                self.progress = Some(Instant::now());
                last
            }
            Notice::Phase(phase) => {
                self.phase = Some(*phase);
                true
            }
            Notice::Plan(_) | Notice::Warning(_) => true,
        };
        self.notices += usize::from(counts);
        if self.notices > MOST_NOTICES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        (self.notify)(notice);
        Ok(())
    }
}

fn unbelieved(why: &str) -> ComputeError {
    let message = format!("the computation left something else than it said: {why}");
    Failure::plain(FaultCode::InternalError, message).into()
}
