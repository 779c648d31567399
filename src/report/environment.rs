//! [`Environment`] and [`Policies`]: what a job ran on, and the numeric choices in force.

use serde::Serialize;

use crate::numeric::{NanPolicy, Rounding, Saturation};

/// The numeric choices in force, by name.
#[derive(Clone, Debug, Serialize)]
pub struct Policies {
    /// What becomes of a value between two codes.
    pub rounding: Rounding,
    /// Beyond the largest code.
    pub saturation: Saturation,
    /// NaN among weights and in data files.
    pub nan_inputs: NanPolicy,
    /// NaN inside the network.
    pub nan_activations: NanPolicy,
}

impl Default for Policies {
    fn default() -> Self {
        Policies {
            rounding: Rounding::HalfToEven,
            saturation: Saturation::LargestFinite,
            nan_inputs: NanPolicy::Refused,
            nan_activations: NanPolicy::Counted,
        }
    }
}

/// What the job ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The version of ptqd that ran the job.
    pub ptqd_version: &'static str,
    /// The vector instructions that the kernels used.
    pub instruction_set: &'static str,
    /// Threads that the kernels used.
    pub threads: usize,
    /// ONNX Runtime's version, where the job needed it.
    pub onnxruntime: Option<String>,
}
