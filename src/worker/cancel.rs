//! [`Stop`]: how an attempt is stopped early, and why.

use std::sync::{Arc, Mutex, PoisonError};

use crate::control::Canceller;

/// Why an attempt was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The user cancelled the job.
    Cancelled,
    /// It ran too long.
    Deadline,
    /// The worker's process is to end.
    Shutdown,
    /// The lease is another's.
    LeaseLost,
}

/// The canceller of one attempt, which everything in it looks at, and the reason for its use. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    canceller: Canceller,
    reason: Arc<Mutex<Option<StopReason>>>,
}

impl Stop {
    /// What the computation, the engine and the transfers are stopped by.
    pub(super) fn canceller(&self) -> &Canceller {
        &self.canceller
    }

    /// Stops the attempt. Of two reasons the first counts, except that nothing is to be said about a job that is another's.
    pub(super) fn set(&self, reason: StopReason) {
        let mut set = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if set.is_none() || reason == StopReason::LeaseLost {
            *set = Some(reason);
        }
        drop(set);
        self.canceller.cancel();
    }

    /// Why it was stopped, if it was.
    pub(super) fn reason(&self) -> Option<StopReason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_unless_the_lease_is_lost() {
        let stop = Stop::default();
        assert_eq!((stop.reason(), stop.canceller().is_cancelled()), (None, false));
        stop.set(StopReason::Deadline);
        stop.clone().set(StopReason::Cancelled);
        assert_eq!((stop.reason(), stop.canceller().is_cancelled()), (Some(StopReason::Deadline), true));
        stop.set(StopReason::LeaseLost);
        stop.set(StopReason::Shutdown);
        assert_eq!(stop.reason(), Some(StopReason::LeaseLost));
    }
}
