//! [`LayerReport`]: what was done to one layer, and what it cost.

use serde::Serialize;

use super::{ActivationReport, WeightReport};
use crate::numeric::DType;
use crate::spec::{Decision, LayerPlan, Reason};

/// What was done to one layer, and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// The layer's name, as rules match it.
    pub name: String,
    /// Its operator or class.
    pub op_type: String,
    /// Whether it was quantized, or left as it was.
    pub decision: Decision,
    /// Why that was decided; a code of the plan.
    pub reason: Reason,
    /// How the result holds its weight, where that is not the usual way; as in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<&'static str>,
    /// What was done to its weight.
    pub weights: Option<WeightReport>,
    /// What was done to its inputs; empty where they stay as they are.
    pub activations: Vec<ActivationReport>,
    /// The dtype that the runtime rounds its inputs to as it runs. Nothing of that is measured here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_activations: Option<DType>,
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
            form: plan.form,
            weights: None,
            activations: Vec::new(),
            dynamic_activations: plan.activations.filter(|_| plan.dynamic),
            output_sqnr_db: None,
        }
    }
}
