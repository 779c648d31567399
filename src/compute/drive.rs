//! Runs a request in a child and listens to it to its end.

use std::{io, path::Path, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    believe::{self, Asked},
    cell::Cell,
    limits::Confinement,
    pool::Compute,
    protocol::{FromChild, Moved, ToChild},
    request::{ComputeError, Output, Request},
    verdict::Ended,
    work,
};
use crate::{
    config::Isolation,
    control::{Canceller, Control, Notice, Phase},
    fault::{FaultCode, Warning, WarningLimit},
    job::Failure,
    panics::blocking,
    pipeline::{PipelineError, ShardDone, ShardPipeline},
};

/// From the wish that a child stops to its end.
const GRACE: Duration = Duration::from_secs(1);
/// Notices that are neither progress nor warnings: phases, plans, the last progress of each. A computation has some dozens.
const MOST_NOTICES: usize = 2_000;
/// A computation makes one plan, and one that is taken apart another.
const MOST_PLANS: usize = 2;
/// Between two notices of progress that are passed on.
const PROGRESS: Duration = Duration::from_millis(20);

/// What a child waits for; nothing if it cannot be told.
type Answer = Pin<Box<dyn Future<Output = Option<ToChild>> + Send>>;

/// What brings and takes away shards, from whichever thread.
pub type Shards = Arc<dyn ShardPipeline + Send + Sync>;

impl Compute {
    /// Computes what is asked for. `seconds`: what its processor time is bounded by, on each thread. `notify` hears how far it
    /// is, and `canceller` stops it: within a second, whatever it does.
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
        let strict = self.isolation() == Isolation::Strict;
        // Folders are looked through for it.
        let looked = blocking(move || (Confinement::of(&request, seconds, strict), request)).await;
        let (limits, request) = looked.map_err(|panicked| Failure::new(&panicked, None))?;
        let cell = self.take().map_err(|error| no_process(&error))?;
        let session = Session {
            limits,
            phase: None,
            notices: 0,
            warnings: WarningLimit::default(),
            plans: 0,
            progress: None,
            taken: Vec::new(),
            notify: &notify,
        };
        // Also where whoever waits for it goes away.
        let _refill = Refill(self);
        session.run(cell, request, shards, canceller).await
    }
}

/// Has another child wait once this one is done with.
struct Refill<'a>(&'a Compute);

impl Drop for Refill<'_> {
    fn drop(&mut self) {
        self.0.refill();
    }
}

async fn wait_for(answer: &mut Option<Answer>) -> Option<ToChild> {
    match answer {
        Some(answer) => answer.await,
        None => None,
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
        work::compute(&request, shards.as_deref().map(|shards| shards as &dyn ShardPipeline), &control)
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
    /// What it warned of.
    warnings: WarningLimit,
    /// How many were plans.
    plans: usize,
    /// Shards that it has made.
    taken: Vec<ShardDone>,
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
        let (out, asked) = (request.out.clone(), Asked::of(&request.work));
        let mut lost = cell.say(&ToChild::Confine(self.limits.clone())).await.is_err()
            || cell.say(&ToChild::Run(Box::new(request))).await.is_err();
        let mut deadline = None;
        // What the child waits for, while it does.
        let mut answer: Option<Answer> = None;
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
                answered = wait_for(&mut answer), if answer.is_some() => {
                    answer = None;
                    lost = match answered {
                        Some(answered) => !matches!(tokio::time::timeout(GRACE, cell.say(&answered)).await, Ok(Ok(()))),
                        None => true,
                    };
                    continue;
                }
                // One thing at a time: a child that waits says nothing.
                message = cell.said.recv(), if answer.is_none() => message,
            };
            match message {
                Some(Ok(FromChild::Ended(ended))) => return self.ended(ended, cell, &asked, &out).await,
                Some(Ok(FromChild::Unconfined(missing))) if self.limits.strict => {
                    let missing: String = missing.chars().take(1000).collect();
                    let message = format!("isolation is strict, and the kernel does not give all of it: {missing}");
                    return Err(Failure::plain(FaultCode::SandboxUnavailable, message).into());
                }
                Some(Ok(FromChild::Notice(notice))) => lost = self.pass_on(notice).is_err(),
                Some(Ok(message)) => match (self.answer(message, shards.as_ref(), &out), &answer) {
                    (Some(coming), None) => answer = Some(coming),
                    _ => lost = true,
                },
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
        mut cell: Cell,
        asked: &Asked,
        out: &Path,
    ) -> Result<Output, ComputeError> {
        // It has nothing left to do but to tidy up.
        cell.kill();
        let (_, words) = cell.end(GRACE).await;
        if !words.is_empty() {
            tracing::warn!(said = words, "a computation had something to say");
        }
        let output = ended.map_err(|error| self.within_limits(believe::error(error)))?;
        believe::output(&output, asked, &self.taken, out).map_err(|why| unbelieved(&why))?;
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

    /// What is done for a child that asks for it. Nothing of what it should not ask for.
    fn answer(&mut self, message: FromChild, shards: Option<&Shards>, out: &Path) -> Option<Answer> {
        let shards = Arc::clone(shards?);
        Some(match message {
            FromChild::Bring(name) => Box::pin(async move {
                let brought = blocking(move || shards.bring(&name).map_err(|error| Moved::from(&error))).await;
                brought.ok().map(ToChild::Brought)
            }),
            FromChild::Take(done) => {
                believe::shard(&done, out).ok()?;
                self.taken.push((*done).clone());
                Box::pin(async move {
                    let taken = blocking(move || shards.take(&done).map_err(|error| Moved::from(&error))).await;
                    taken.ok().map(ToChild::Taken)
                })
            }
            _ => return None,
        })
    }

    /// Passes a notice on, unless there are more than a computation has.
    fn pass_on(&mut self, notice: Notice) -> io::Result<()> {
        let counts = match notice {
            Notice::Progress(_, ref progress) => {
                let last = progress.units_done >= progress.units_total;
                if self.progress.is_some_and(|at| at.elapsed() < PROGRESS) && !last {
                    return Ok(());
                }
                self.progress = Some(Instant::now());
                last
            }
            Notice::Phase(phase) => {
                self.phase = Some(phase);
                true
            }
            Notice::Plan(_) => true,
            // Those of an honest child are within the limit; one more or a longer one is no reason to lose a job.
            Notice::Warning(Warning { pointer, code, message }) => {
                let warning = Warning { pointer, ..Warning::new(code, message) };
                if let Some(warning) = self.warnings.admit(warning) {
                    (self.notify)(Notice::Warning(warning));
                }
                return Ok(());
            }
        };
        self.notices += usize::from(counts);
        self.plans += usize::from(matches!(notice, Notice::Plan(_)));
        if self.notices > MOST_NOTICES || self.plans > MOST_PLANS {
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
