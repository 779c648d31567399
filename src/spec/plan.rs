//! [`Plan`]: what will happen to each layer of a model, and why, before anything is computed.

use serde::Serialize;

use super::Reason;
use crate::numeric::DType;

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Its weights, and where the plan says so its activations, are quantized.
    Quantize,
    /// It is left as it is.
    Native,
}

/// The plan for one layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlan {
    /// The layer's name, as patterns match it.
    pub name: String,
    /// Its operator or class.
    pub op_type: String,
    /// What happens to it.
    pub decision: Decision,
    /// The one reason for the decision.
    pub reason: Reason,
    /// JSON pointer to the rule or skip that decided, if one did.
    pub rule: Option<String>,
    /// The dtype of its weights; null for native.
    pub weights: Option<DType>,
    /// The dtype of its activations; null for native.
    pub activations: Option<DType>,
    /// Whether the scales of its activations are computed as the model runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dynamic: bool,
    /// The calibration algorithm that a rule gives its activations; null for the section's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// How the result holds its weight, where that is not the usual way: `matmul_nbits`, `gathered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<&'static str>,
}

/// How often one pattern of the request matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternUse {
    /// JSON pointer to the pattern.
    pub pointer: String,
    /// The pattern as the request has it.
    pub pattern: String,
    /// Number of layers it matches, whatever then happens to them.
    pub matches: usize,
}

/// What will happen to a model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Every layer, in the model's order.
    pub layers: Vec<LayerPlan>,
    /// Every pattern, in the request's order.
    pub patterns: Vec<PatternUse>,
}
