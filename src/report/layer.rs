//! [`LayerReport`]: what was done to one layer, and what it cost.

use serde::Serialize;

use super::{ActivationReport, WeightReport};
use crate::spec::{Decision, LayerPlan, Reason};

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Its name.
    pub name: String,
    /// Its operator or class.
    pub op_type: String,
    /// What was done.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// What was done to its weight.
    pub weights: Option<WeightReport>,
    /// What was done to its inputs; empty where they stay as they are.
    pub activations: Vec<ActivationReport>,
    /// SQNR of its output with everything before it quantized too, in dB; null where it was not measured, or is infinite.
    pub output_sqnr_db: Option<f64>,
}

impl LayerReport {
    /// A layer as planned, nothing measured yet.
    pub fn planned(plan: &LayerPlan) -> Self {
        LayerReport {
            name: plan.name.clone(),
            op_type: plan.op_type.clone(),
            decision: plan.decision,
            reason: plan.reason,
            weights: None,
            activations: Vec::new(),
            output_sqnr_db: None,
        }
    }
}
