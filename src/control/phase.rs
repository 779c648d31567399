//! [`Phase`]: the stages of a job.

use serde::{Deserialize, Serialize};

/// The stages of a job. An open set: the API's documents say that there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading the model's header or graph, resolving the plan.
    Validating,
    /// Bringing inputs to the worker's disk.
    Staging,
    /// Changing the graph ahead of calibration.
    Preparing,
    /// Running calibration data through the model.
    Calibrating,
    /// Turning weights into codes and writing them.
    Quantizing,
    /// Comparing the result with the original.
    Evaluating,
    /// Moving the artifacts to the store.
    Publishing,
}

impl Phase {
    /// Every phase, in the order of a job.
    pub const ALL: [Phase; 7] = [
        Phase::Validating,
        Phase::Staging,
        Phase::Preparing,
        Phase::Calibrating,
        Phase::Quantizing,
        Phase::Evaluating,
        Phase::Publishing,
    ];

    /// The name in jobs, events and reports.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Validating => "validating",
            Phase::Staging => "staging",
            Phase::Preparing => "preparing",
            Phase::Calibrating => "calibrating",
            Phase::Quantizing => "quantizing",
            Phase::Evaluating => "evaluating",
            Phase::Publishing => "publishing",
        }
    }
}
