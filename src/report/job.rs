//! [`Report`]: everything that a finished job tells.

use serde::Serialize;

use super::{Environment, GateResult, Latency, LayerReport, OutputReport, Policies, Sensitivity, Summary};
use crate::spec::Warning;

/// Everything that a finished job tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The figures of the whole model.
    pub summary: Summary,
    /// Whether the result reaches what the job asked for; null if it asked for nothing.
    pub quality_gate: Option<GateResult>,
    /// The layers that hold weights or could be quantized, in the model's order.
    pub layers: Vec<LayerReport>,
    /// Each output of the model; empty where the models were not compared.
    pub outputs: Vec<OutputReport>,
    /// How long a sample takes before and after; null where it was not measured.
    pub latency: Option<Latency>,
    /// What single layers cost the outputs, and which to leave native; null where it was not measured.
    pub sensitivity: Option<Sensitivity>,
    /// The files that went in, by role, with their digests where these were asked for.
    pub inputs: serde_json::Value,
    /// What was changed in the model ahead of planning: the version of its operators, what was folded or copied; null
    /// where nothing is.
    pub preparation: Option<serde_json::Value>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// The numeric choices in force.
    pub policies: Policies,
    /// What it ran on.
    pub environment: Environment,
}
