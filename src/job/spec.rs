//! [`JobSpec`]: what a client asks for, in the form in which it is stored.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{dataset::Preprocess, report::QualityGate};

/// The model to quantize.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// The URI of its file or folder: `file`, `s3`, `gs`, `az`, `https`, `hf` or `upload`.
    pub uri: String,
}

/// Data to calibrate with, or to compare the models on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRef {
    /// The URI of its file or folder, of the same schemes as a model's.
    pub uri: String,
    /// The name of the array of labels, if there is one; of evaluation data only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The most samples to use; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u32>,
    /// Samples per forward pass, where the model leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// How images become samples, where the data is images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// The input of the model that is 0 where a sequence is padded; of calibration data only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_input: Option<String>,
}

/// What a client asks for. [`JobRequest`](super::JobRequest) reads it from what was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The model to quantize.
    pub model: ModelRef,
    /// Data that activation ranges come from, where the mode needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<DataRef>,
    /// Data that the quantized model is compared with the original on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<DataRef>,
    /// The `quantize` section, as it was sent.
    pub quantize: Value,
    /// What the result should reach.
    #[serde(default)]
    pub quality_gate: QualityGate,
    /// Labels to find the job by: at most 64, keys and values of at most 512 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Of a tenant's waiting jobs, those with a higher number run first; 0 without it. At most 100 either way.
    #[serde(default)]
    pub priority: i32,
    /// The longest an attempt may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// The most attempts it gets; [`JobSpec::DEFAULT_MAX_ATTEMPTS`] without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
}

impl JobSpec {
    /// What asks for nothing but to quantize a model by some rules.
    pub fn new(model: &str, quantize: Value) -> Self {
        JobSpec {
            name: None,
            model: ModelRef { uri: model.to_owned() },
            calibration: None,
            evaluation: None,
            quantize,
            quality_gate: QualityGate::default(),
            labels: BTreeMap::new(),
            priority: 0,
            timeout_seconds: None,
            max_attempts: None,
        }
    }

    /// The priorities that a job may have.
    pub const PRIORITIES: RangeInclusive<i64> = -100..=100;

    /// The most attempts by default: what fails for a reason outside of the job is tried twice more.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;

    /// The most attempts it gets, by the request or by default.
    pub fn attempts(&self) -> u32 {
        self.max_attempts.unwrap_or(Self::DEFAULT_MAX_ATTEMPTS)
    }
}
