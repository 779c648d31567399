//! [`Place`]: whether other tasks run in the process. One that has lost a worker runs alone: nobody else's work goes with it.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Held for writing by a task that is alone in its process, and for reading by those that are not.
pub type ProcessLock = Arc<RwLock<()>>;

/// The place of one worker, from before it asks for a task until the task has ended.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing else runs in the process, and nothing begins.
    Alone(OwnedRwLockWriteGuard<()>),
    /// Other tasks may run beside it.
    Shared {
        /// Held, never looked at.
        _guard: OwnedRwLockReadGuard<()>,
    },
}

impl Place {
    /// A place alone if nothing runs, else one beside the others, once none of them is alone.
    pub(super) async fn take(lock: &ProcessLock) -> Self {
        match Arc::clone(lock).try_write_owned() {
            Ok(alone) => Place::Alone(alone),
            Err(_) => Place::Shared { _guard: Arc::clone(lock).read_owned().await },
        }
    }

    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Place::Alone(_))
    }

    /// The same place, with room for others beside it.
    pub(super) fn shared(self) -> Self {
        match self {
            Place::Alone(alone) => Place::Shared { _guard: alone.downgrade() },
            shared @ Place::Shared { .. } => shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_is_alone_stays_so_until_it_shares() {
        let lock = ProcessLock::default();
        let first = Place::take(&lock).await;
        assert!(first.is_alone());
        assert!(Place::take(&lock).now_or_never().is_none(), "another one waits");
        let first = first.shared();
        let second = Place::take(&lock).now_or_never().expect("there is room beside it");
        assert!(!first.is_alone() && !second.is_alone());
        drop(first);
        assert!(!Place::take(&lock).await.is_alone(), "the second is still there");
        drop(second);
        assert!(Place::take(&lock).await.is_alone());
    }
}
