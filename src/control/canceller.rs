//! [`Canceller`]: the one way to stop a job's work from another thread.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The work was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job was cancelled")]
pub struct Cancelled;

/// Stops what was started with it: loops look at its flag, and what cannot look registers a hook. Clones are one.
#[derive(Clone, Default)]
pub struct Canceller(Arc<Shared>);

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    hooks: Mutex<Hooks>,
}

#[derive(Default)]
struct Hooks {
    next: u64,
    registered: BTreeMap<u64, Box<dyn Fn() + Send>>,
}

/// A hook of a [`Canceller`], registered until this is dropped.
#[derive(Debug)]
pub struct CancelHook {
    canceller: Canceller,
    id: u64,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl Canceller {
    /// Sets the flag and calls every hook. There is no way back; a second call does nothing.
    pub fn cancel(&self) {
        // Under the lock: a hook that is registered meanwhile sees the flag, or is in the map when the hooks are called.
        let hooks = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.0.cancelled.swap(true, Ordering::Release) {
            hooks.registered.values().for_each(|hook| hook());
        }
    }

    /// Whether the work should stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// An error if the work should stop.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Calls `hook` once, from the thread that cancels, or here and now if that has happened already. It must be quick, and
    /// not touch this canceller.
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) -> CancelHook {
        let mut hooks = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let id = hooks.next;
        hooks.next += 1;
        if self.is_cancelled() {
            hook();
        } else {
            hooks.registered.insert(id, Box::new(hook));
        }
        CancelHook { canceller: self.clone(), id }
    }
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        self.canceller.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).registered.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn hooks_are_called_once_and_only_while_they_are_registered() {
        let (canceller, calls) = (Canceller::default(), Arc::new(AtomicUsize::new(0)));
        let hook = || {
            let calls = Arc::clone(&calls);
            canceller.on_cancel(move || {
                calls.fetch_add(1, Ordering::Relaxed);
            })
        };
        let _registered = hook();
        drop(hook());
        assert_eq!(canceller.check(), Ok(()));
        canceller.clone().cancel();
        canceller.cancel();
        assert_eq!((canceller.check(), calls.load(Ordering::Relaxed)), (Err(Cancelled), 1));
        let _late = hook();
        assert_eq!(calls.load(Ordering::Relaxed), 2, "a hook that comes late is called at once");
    }
}
