//! Reading the next batch while the engine computes.

use std::{ops::Range, sync::mpsc, thread};

use super::{Batch, Binding, EngineError};

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
                // Whoever stops listening wants no more.
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
