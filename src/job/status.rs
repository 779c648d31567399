//! [`JobStatus`] and which one may follow which.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands. Coarse and stable; the phase is fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting for a worker, for the first time or again.
    Queued,
    /// A worker has it.
    Running,
    /// Done; its artifacts are there.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It was asked to stop and has not stopped yet.
    Cancelling,
    /// It was stopped on request.
    Cancelled,
    /// It ran longer than it was allowed to.
    TimedOut,
}

impl JobStatus {
    /// Every status; names are looked up among them.
    pub const ALL: [JobStatus; 7] = [
        JobStatus::Queued,
        JobStatus::Running,
        JobStatus::Succeeded,
        JobStatus::Failed,
        JobStatus::Cancelling,
        JobStatus::Cancelled,
        JobStatus::TimedOut,
    ];

    /// The name in the API and the database.
    pub fn name(self) -> &'static str {
        match self {
            JobStatus::Queued => "queued",
            JobStatus::Running => "running",
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::Cancelling => "cancelling",
            JobStatus::Cancelled => "cancelled",
            JobStatus::TimedOut => "timed_out",
        }
    }

    /// Whether it may be queued again by hand: it has ended, and left nothing.
    pub fn may_be_retried(self) -> bool {
        matches!(self, JobStatus::Failed | JobStatus::Cancelled | JobStatus::TimedOut)
    }

    /// Whether nothing follows of itself.
    pub fn is_terminal(self) -> bool {
        JobStatus::ALL.iter().all(|&next| !self.may_become(next))
    }

    /// Whether a job may go from this status to `next`: the one table of transitions.
    pub fn may_become(self, next: JobStatus) -> bool {
        use JobStatus::{Cancelled, Cancelling, Failed, Queued, Running, Succeeded, TimedOut};
        matches!(
            (self, next),
            (Queued, Running | Cancelled | Failed)
                | (Running, Queued | Succeeded | Failed | Cancelling | Cancelled | TimedOut)
                | (Cancelling, Cancelled | Succeeded | Failed | TimedOut)
        )
    }
}

impl FromStr for JobStatus {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        JobStatus::ALL.into_iter().find(|status| status.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_match_the_wire() {
        for status in JobStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn four_states_are_final() {
        let terminal: Vec<_> = JobStatus::ALL.into_iter().filter(|s| s.is_terminal()).collect();
        use JobStatus::{Cancelled, Failed, Succeeded, TimedOut};
        assert_eq!(terminal, [Succeeded, Failed, Cancelled, TimedOut]);
    }
}
