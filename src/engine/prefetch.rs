//! Getting a model's batches through the engine: the next one read meanwhile, or several under way at once.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use super::{Batch, Binding, EngineError, Session};

/// Calls `each` with every batch in order. The next one is read on another thread meanwhile; two are in memory at most
/// besides the one in use.
pub fn each_batch<E: From<EngineError>>(
    binding: &Binding<'_>,
    batches: &[Range<usize>],
    mut each: impl FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(1);
        scope.spawn(move || {
            for batch in batches {
                // The receiver is gone: nothing more is wanted.
                if sender.send(binding.read(batch.clone())).is_err() {
                    return;
                }
            }
        });
        for batch in receiver {
            each(batch?)?;
        }
        Ok(())
    })
}

/// Runs every batch through a session, for what observers see. There are as many sessions as `lanes`, `first` and others that
/// `load` makes; each is a lane that takes the next batch when it is done with one. `done` hears of every batch, from any
/// lane. Of several errors one is returned.
pub fn in_lanes<E: From<EngineError> + Send>(
    first: Session,
    lanes: usize,
    load: impl Fn() -> Result<Session, EngineError> + Sync,
    binding: &Binding<'_>,
    batches: &[Range<usize>],
    done: impl Fn(&Batch) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let lane = |session: Option<Session>| {
        let run = || -> Result<(), E> {
            let mut session = session.map_or_else(&load, Ok)?;
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let batch = binding.read(batch.clone())?;
                session.forward(&batch)?;
                done(&batch)?;
            }
            Ok(())
        };
        if let Err(error) = run() {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // The others find no batch left.
            next.store(batches.len(), Ordering::Relaxed);
        }
    };
    rayon::scope(|scope| {
        for _ in 1..lanes {
            scope.spawn(|_| lane(None));
        }
        lane(Some(first));
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
