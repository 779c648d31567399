//! [`Notice`]: what a computation says of itself.

use serde::{Deserialize, Serialize};

use super::phase::Phase;
use crate::fault::Warning;

/// How far a phase has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units finished in this phase.
    pub units_done: u64,
    /// Units in this phase.
    pub units_total: u64,
    /// What a unit is, in the plural: `tensors`, `samples`.
    pub unit: String,
    /// Seconds left in this phase at the pace so far; unknown before the first unit.
    pub eta_seconds: Option<f64>,
}

/// What a running job reports to its observer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// A phase begins, and the one before is over.
    Phase(Phase),
    /// A phase has come further.
    Progress(Phase, Progress),
    /// The plan of the job, resolved, as JSON.
    Plan(serde_json::Value),
    /// Something the user should know that is not an error.
    Warning(Warning),
}
