//! [`JobSpec`]: what a client asks for, and everything that is wrong with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    dataset::Preprocess,
    fault::Warning,
    report::QualityGate,
    spec::{Objection, ObjectionCode, Parsed, QuantizeSpec, find_section, parse, pointer_token},
};

/// The model to quantize.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Where it is.
    pub uri: String,
}

/// Data to calibrate with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationRef {
    /// Where it is.
    pub uri: String,
    /// The most samples to use; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u32>,
    /// Samples per forward pass, where the model leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// How images become samples, where the data is images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
}

/// Data to compare the models on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRef {
    /// Where it is.
    pub uri: String,
    /// The name of the array of labels, if there is one.
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
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The model.
    pub model: ModelRef,
    /// Calibration data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationRef>,
    /// Evaluation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationRef>,
    /// The `quantize` section, as it was sent.
    pub quantize: Value,
    /// What the result should reach.
    #[serde(default)]
    pub quality_gate: QualityGate,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Higher runs first.
    #[serde(default)]
    pub priority: i32,
    /// The longest an attempt may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// The most attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
}

/// A job request after its checks.
#[derive(Debug)]
pub struct Checked {
    /// The rules.
    pub quantize: QuantizeSpec,
    /// Everything wrong that can be told without the model and without the backends.
    pub objections: Vec<Objection>,
    /// Everything aliased, ignored or changed.
    pub warnings: Vec<Warning>,
}

impl JobSpec {
    /// Attempts without being told: a job may outlive two lost workers.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;

    /// The most attempts.
    pub fn attempts(&self) -> u32 {
        self.max_attempts.unwrap_or(Self::DEFAULT_MAX_ATTEMPTS)
    }

    /// Parses the rules and checks every range.
    pub fn check(&self) -> Checked {
        // A whole TAO experiment spec may stand where its `quantize` section belongs.
        let (section, below) = find_section(&self.quantize);
        let Parsed { spec, mut objections, warnings } = parse(section, &format!("/quantize{below}"));
        let mut range = |pointer: &str, value: Option<u64>, least: u64, most: u64| {
            if value.is_some_and(|v| !(least..=most).contains(&v)) {
                let message = format!("must be between {least} and {most}");
                objections.push(Objection::new(pointer, ObjectionCode::OutOfRange, message));
            }
        };
        let (calibration, evaluation) = (self.calibration.as_ref(), self.evaluation.as_ref());
        range("/calibration/max_samples", calibration.and_then(|c| c.max_samples).map(u64::from), 1, 1_000_000);
        range("/calibration/batch_size", calibration.and_then(|c| c.batch_size).map(u64::from), 1, 4096);
        range("/evaluation/max_samples", evaluation.and_then(|e| e.max_samples).map(u64::from), 1, 10_000_000);
        range("/evaluation/batch_size", evaluation.and_then(|e| e.batch_size).map(u64::from), 1, 4096);
        let preprocess = [
            ("/calibration/preprocess", calibration.and_then(|c| c.preprocess.as_ref())),
            ("/evaluation/preprocess", evaluation.and_then(|e| e.preprocess.as_ref())),
        ];
        range("/timeout_seconds", self.timeout_seconds.map(u64::from), 1, 7 * 24 * 3600);
        range("/max_attempts", self.max_attempts.map(u64::from), 1, 20);
        range("/name", self.name.as_ref().map(|name| name.chars().count() as u64), 1, 200);
        range("/labels", Some(self.labels.len() as u64), 0, 64);
        for (key, value) in &self.labels {
            let pointer = format!("/labels/{}", pointer_token(key));
            range(&pointer, Some(key.chars().count().max(value.chars().count()) as u64), 0, 512);
        }
        for (pointer, preprocess) in preprocess {
            for (field, message) in preprocess.map(Preprocess::mistakes).unwrap_or_default() {
                objections.push(Objection::new(format!("{pointer}/{field}"), ObjectionCode::OutOfRange, message));
            }
        }
        let gate = &self.quality_gate;
        for (pointer, limit) in [
            ("/quality_gate/min_output_sqnr_db", gate.min_output_sqnr_db),
            ("/quality_gate/max_accuracy_drop", gate.max_accuracy_drop),
        ] {
            if limit.is_some_and(|limit| !limit.is_finite()) {
                objections.push(Objection::new(pointer, ObjectionCode::OutOfRange, "must be a finite number"));
            }
        }
        Checked { quantize: spec, objections, warnings }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_experiment_spec_may_stand_for_its_section() {
        let job: JobSpec = serde_json::from_value(json!({
            "model": {"uri": "file:///m.onnx"},
            "quantize": {"encryption_key": "x", "model": {"backbone": "vit"}, "quantize": {
                "backend": "modelopt.onnx", "mode": "STATIC_PTQ", "device": "cuda", "model_path": "/x.onnx",
                "layers": [{"module_name": "*", "weights": {"dtype": "int7"}}]}}
        }))
        .unwrap();
        let checked = job.check();
        assert_eq!(checked.quantize.backend, "modelopt.onnx");
        let pointers: Vec<_> = checked.objections.into_iter().map(|o| o.pointer).collect();
        assert_eq!(pointers, ["/quantize/quantize/layers/0/weights/dtype"]);
    }

    #[test]
    fn every_objection_is_reported_at_once() {
        let job: JobSpec = serde_json::from_value(json!({
            "model": {"uri": "file:///m.onnx"},
            "calibration": {"uri": "file:///c.npz", "batch_size": 0},
            "quantize": {"backend": "modelopt", "mode": "never", "layers": [{"module_name": ""}], "skip_nams": []},
            "max_attempts": 99
        }))
        .unwrap();
        let pointers: Vec<_> = job.check().objections.into_iter().map(|o| o.pointer).collect();
        assert_eq!(
            pointers,
            [
                "/quantize/skip_nams",
                "/quantize/mode",
                "/quantize/layers/0/module_name",
                "/calibration/batch_size",
                "/max_attempts"
            ]
        );
    }
}
