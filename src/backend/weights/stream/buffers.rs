//! [`Buffers`]: the memory of the parts in flight, whichever file they belong to.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{
    backend::weights::encoders::EncodedPart,
    control::{MemoryBudget, OverBudget, Reservation},
};

/// What a part's buffers may take together: codes, packed codes, a scale for each 32 elements, and a strided source.
const BUFFER_BYTES: u64 = 2 << 20;

/// The buffers of a job, one for each part in flight.
pub(in crate::backend) struct Buffers<'a> {
    /// What they and all else that a stream holds stay within.
    pub(super) budget: &'a MemoryBudget,
    state: Mutex<State<'a>>,
    given_back: Condvar,
}

#[derive(Default)]
struct State<'a> {
    spare: Vec<Buffer<'a>>,
    lent: usize,
}

/// The memory of one part, used again for the next.
#[derive(Default)]
pub(super) struct Buffer<'a> {
    /// What the encoder fills.
    pub(super) encoded: EncodedPart,
    /// Codes or scales as they lie in the file.
    pub(super) packed: Vec<u8>,
    _reserved: Option<Reservation<'a>>,
}

/// A buffer that goes back when it is dropped.
pub(super) struct Lent<'b, 'a> {
    home: &'b Buffers<'a>,
    pub(super) buffer: Buffer<'a>,
}

impl<'a> Buffers<'a> {
    /// Buffers that together stay within a budget.
    pub(in crate::backend) fn new(budget: &'a MemoryBudget) -> Self {
        Buffers { budget, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// A buffer that no one uses. Where the budget has no room for another one, waits until one is given back: whoever
    /// holds one waits for nobody.
    pub(super) fn take(&self) -> Result<Lent<'_, 'a>, OverBudget> {
        let mut state = self.state();
        let buffer = loop {
            if let Some(buffer) = state.spare.pop() {
                break buffer;
            }
            match self.budget.reserve(BUFFER_BYTES) {
                Ok(reserved) => break Buffer { _reserved: Some(reserved), ..Buffer::default() },
                Err(error) if state.lent == 0 => return Err(error),
                Err(_) => state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.lent += 1;
        Ok(Lent { home: self, buffer })
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.home.state();
        state.lent -= 1;
        state.spare.push(mem::take(&mut self.buffer));
        self.home.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_buffer_that_came_back_is_lent_again_with_its_memory() {
        let budget = MemoryBudget::new(BUFFER_BYTES);
        let buffers = Buffers::new(&budget);
        let mut lent = buffers.take().unwrap();
        lent.buffer.packed.extend([7; 100]);
        drop(lent);
        assert!(buffers.take().unwrap().buffer.packed.capacity() >= 100);
    }

    #[test]
    fn without_room_for_a_first_buffer_nobody_waits() {
        let budget = MemoryBudget::new(BUFFER_BYTES - 1);
        assert!(Buffers::new(&budget).take().is_err());
    }

    #[test]
    fn who_finds_no_room_waits_until_a_buffer_comes_back() {
        let budget = MemoryBudget::new(2 * BUFFER_BYTES);
        let buffers = Buffers::new(&budget);
        let (in_flight, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let lent = buffers.take().unwrap();
                        most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(Duration::from_micros(200));
                        in_flight.fetch_sub(1, Ordering::SeqCst);
                        drop(lent);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 40);
        assert!(most.into_inner() <= 2, "more buffers than the budget has room for");
    }

    #[test]
    fn a_buffer_comes_back_from_a_thread_that_panics() {
        let budget = MemoryBudget::new(BUFFER_BYTES);
        let buffers = Buffers::new(&budget);
        thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                let _lent = buffers.take().unwrap();
                std::panic::resume_unwind(Box::new("gone"));
            });
            assert!(panicked.join().is_err());
        });
        assert!(buffers.take().is_ok());
    }
}
