//! [`Compute`]: where computations run, and a child that waits for the next one.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    cell::{Cell, Spawner},
    isolation::IsolationReport,
    request::{Output, Request, Work},
};
use crate::{config::Isolation, control::Canceller};

/// How computations run.
#[derive(Clone, Debug)]
pub struct ComputeSettings {
    /// How far apart.
    pub isolation: Isolation,
    /// This program, whose hidden subcommand a child is.
    pub program: PathBuf,
    /// The engine's library.
    pub library: PathBuf,
    /// Children that wait for a job, at most.
    pub warm: usize,
}

/// Where computations run. Clones are one.
#[derive(Clone, Debug)]
pub struct Compute(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    isolation: Isolation,
    spawner: Spawner,
    warm: usize,
    waiting: Mutex<Vec<Cell>>,
}

impl Compute {
    /// Nothing runs yet.
    pub fn new(settings: ComputeSettings) -> Self {
        let ComputeSettings { isolation, program, library, warm } = settings;
        Compute(Arc::new(Shared { isolation, spawner: Spawner { program, library }, warm, waiting: Mutex::default() }))
    }

    /// How far apart.
    pub fn isolation(&self) -> Isolation {
        self.0.isolation
    }

    /// The engine's library.
    pub(super) fn library(&self) -> PathBuf {
        self.0.spawner.library.clone()
    }

    /// Starts the children that wait. What fails here is told with the first job.
    pub fn warm_up(&self) {
        if self.0.isolation == Isolation::Off {
            return;
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.len() < self.0.warm {
            match self.0.spawner.spawn() {
                Ok(cell) => waiting.push(cell),
                Err(error) => return tracing::warn!(%error, "no process waits for the next job"),
            }
        }
    }

    /// A child that waits, or a new one.
    pub(super) fn take(&self) -> io::Result<Cell> {
        let mut found = None;
        while found.is_none() {
            let next = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut cell) = next else { break };
            // One that was ended by somebody while it waited is of no use.
            found = cell.is_alive().then_some(cell);
        }
        found.map_or_else(|| self.0.spawner.spawn(), Ok)
    }

    /// Starts what waits for the next job. Not while one is computed: that would take from its time.
    pub(super) fn refill(&self) {
        let again = self.clone();
        // Not while everything ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { again.warm_up() });
        }
    }

    /// What a child can do here that it should not.
    pub async fn report(&self) -> IsolationReport {
        let isolation = self.0.isolation;
        if isolation == Isolation::Off {
            return IsolationReport { isolation, missing: Vec::new() };
        }
        let missing = match self.probe(Vec::new()).await {
            Ok(attempts) => attempts.into_iter().filter(|attempt| !attempt.refused).map(|a| a.what).collect(),
            Err(why) => vec![format!("be asked nothing ({why})")],
        };
        IsolationReport { isolation, missing }
    }

    /// Has a child try what it should not be able to do, and to read `files`.
    pub async fn probe(&self, files: Vec<PathBuf>) -> Result<Vec<super::Attempt>, String> {
        let request = Request::bare(Work::Probe { files }, self.library());
        let canceller = Canceller::default();
        match self.run(request, None, None, |_| (), &canceller).await {
            Ok(Output::Probe(attempts)) => Ok(attempts),
            Ok(_) => Err("it answered something else".to_owned()),
            Err(error) => Err(error.failure.message),
        }
    }
}
