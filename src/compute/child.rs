//! The child's side: gives up what it does not need, computes one request, and ends.

use std::{
    io::{self, Stdin, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use super::{
    confine::confine,
    frame,
    limits::Confinement,
    protocol::{FromChild, Moved, ToChild},
    request::{ComputeError, Output, Request, Work},
    work,
};
use crate::{
    control::{Canceller, Control, Notice},
    engine::{self, EngineConfig},
    fault::{FaultCode, Warning, WarningCode},
    job::Failure,
    pipeline::{PipelineError, ShardDone, ShardPipeline},
};

/// Serves one request, from standard input to standard output. `library`: the engine's, which is loaded while it waits.
pub fn serve(library: &Path) -> io::Result<()> {
    // What a library prints must not stand between our messages.
    let out = rustix::io::dup(rustix::stdio::stdout()).map(std::fs::File::from)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let mut input = io::stdin();
    // If that fails, the job says so.
    let (threads, memory, canceller) = (1, None, Canceller::default());
    let config = EngineConfig { library: library.to_owned(), openvino: None, threads, memory, canceller };
    let _ = engine::warm_up(&config);
    let Some(ToChild::Confine(limits)) = frame::read(&mut input)? else { return Ok(()) };
    let parent = Parent { out: Mutex::new(out), answers: Mutex::new(None), canceller: Canceller::default() };
    if let Some(missing) = unconfined(&limits) {
        return parent.say(&FromChild::Unconfined(missing));
    }
    let Some(ToChild::Run(request)) = frame::read(&mut input)? else { return Ok(()) };
    parent.listen(input);
    let said = parent.say(&FromChild::Ended(parent.compute(&request)));
    match said {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let message = format!("the plan of the model is too large to be passed on: {error}");
            parent.say(&FromChild::Ended(Err(Failure::plain(FaultCode::ModelTooLarge, message).into())))
        }
        said => said,
    }
}

/// How many messages of either side these bytes are, up to the first that is none. For tests: what comes over the border is
/// a stranger's.
pub fn understands(bytes: &[u8]) -> usize {
    fn count<T: serde::de::DeserializeOwned>(mut bytes: &[u8]) -> usize {
        std::iter::from_fn(|| frame::read::<T>(&mut bytes).ok().flatten()).count()
    }
    count::<FromChild>(bytes).max(count::<ToChild>(bytes))
}

/// What could not be given up, if nothing less will do.
fn unconfined(limits: &Confinement) -> Option<String> {
    let missing = confine(limits);
    (limits.strict && !missing.is_empty()).then(|| missing.join("; "))
}

/// The parent, as the child sees it.
struct Parent {
    out: Mutex<std::fs::File>,
    /// What it says of shards; none before anything is computed.
    answers: Mutex<Option<mpsc::Receiver<ToChild>>>,
    canceller: Canceller,
}

impl Parent {
    fn say(&self, message: &FromChild) -> io::Result<()> {
        frame::write(&mut *self.out.lock().unwrap_or_else(PoisonError::into_inner), message)
    }

    /// Hears what the parent says from now on. If it is gone, so is this process, whatever the engine does.
    fn listen(&self, mut input: Stdin) {
        let (sender, answers) = mpsc::channel();
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Some(answers);
        let canceller = self.canceller.clone();
        thread::spawn(move || {
            loop {
                match frame::read::<ToChild>(&mut input) {
                    Ok(Some(ToChild::Stop)) => canceller.cancel(),
                    Ok(Some(answer)) => drop(sender.send(answer)),
                    Ok(None) | Err(_) => std::process::exit(1),
                }
            }
        });
    }

    fn compute(&self, request: &Request) -> Result<Output, ComputeError> {
        let notify = |notice: Notice| {
            let Err(error) = self.say(&FromChild::Notice(notice)) else { return };
            // Only a plan may be that large.
            let message = format!("the job's plan is too large to be kept: {error}");
            let warning = FromChild::Notice(Notice::Warning(Warning::new(WarningCode::PlanNotKept, message)));
            if error.kind() != io::ErrorKind::InvalidData || self.say(&warning).is_err() {
                let _ = writeln!(io::stderr(), "a notice was not sent: {error}");
            }
        };
        let control = Control::new(&notify, &self.canceller);
        let streamed = matches!(request.work, Work::Whole { streamed: true, .. });
        let shards: Option<&dyn ShardPipeline> = if streamed { Some(self) } else { None };
        let computed = catch_unwind(AssertUnwindSafe(|| work::compute(request, shards, &control)));
        computed.unwrap_or_else(|_| {
            let message = "an error of ours ended the computation; the server's log has more";
            Err(Failure::plain(FaultCode::InternalError, message).into())
        })
    }

    fn answer(&self) -> Result<ToChild, PipelineError> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.as_ref().and_then(|answers| answers.recv().ok()).ok_or(PipelineError::PlanChanged)
    }

    fn ask(&self, message: &FromChild) -> Result<ToChild, PipelineError> {
        let gone = |source| PipelineError::Write { path: "the parent process".into(), source };
        self.say(message).map_err(gone)?;
        self.answer()
    }
}

impl ShardPipeline for Parent {
    fn bring(&self, source: &str) -> Result<Option<String>, PipelineError> {
        match self.ask(&FromChild::Bring(source.to_owned()))? {
            ToChild::Brought(answer) => answer.map_err(Moved::into),
            _ => Err(PipelineError::PlanChanged),
        }
    }

    fn take(&self, done: &ShardDone) -> Result<(), PipelineError> {
        match self.ask(&FromChild::Take(Box::new(done.clone())))? {
            ToChild::Taken(answer) => answer.map_err(Moved::into),
            _ => Err(PipelineError::PlanChanged),
        }
    }
}
