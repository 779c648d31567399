//! [`Canceller`]: stopping forward passes in their middle, from another thread.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ort::session::RunOptions;

/// Stops the forward passes of every session that was made with it, those under way and those to come.
#[derive(Clone, Default)]
pub struct Canceller(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pulled: bool,
    sessions: Vec<Weak<RunOptions>>,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

impl Canceller {
    /// Stops them. A pass under way ends with an error after the operator that is being computed.
    pub fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.pulled = true;
        for options in state.sessions.iter().filter_map(Weak::upgrade) {
            // It can fail on nothing but a null pointer.
            let _ = options.terminate();
        }
    }

    /// The options that a session's passes run with.
    pub(super) fn options(&self) -> ort::Result<Arc<RunOptions>> {
        let options = Arc::new(RunOptions::new()?);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pulled {
            options.terminate()?;
        }
        state.sessions.retain(|session| session.strong_count() > 0);
        state.sessions.push(Arc::downgrade(&options));
        Ok(options)
    }
}
