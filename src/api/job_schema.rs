//! The schema of a job's request. The core's [`JobRequest`](crate::job::JobRequest), which knows nothing of OpenAPI, reads
//! what is sent.
#![expect(dead_code, reason = "a schema is not read")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::preprocess::PreprocessInput;

/// The model to quantize.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelInput {
    /// Where it is: an ONNX file, a safetensors file, an index of shards, or a folder.
    #[schema(example = "file:///models/convnet.onnx")]
    uri: String,
}

/// Data to calibrate with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CalibrationInput {
    /// Where it is: a .npz or .safetensors with an array for each input, samples on axis 0; a .npy for a model with one
    /// input; a folder of such files; a folder of images; or the calibration.json of an earlier job.
    #[schema(example = "file:///data/calibration.npz")]
    uri: String,
    /// The most samples to use; all without it.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_samples: Option<u32>,
    /// Samples per forward pass, where the model leaves it open.
    #[schema(minimum = 1, maximum = 4096)]
    batch_size: Option<u32>,
    /// How images become samples, where the data is a folder of images.
    preprocess: Option<PreprocessInput>,
    /// The input of the model, of [batch, sequence], that is 0 where a sequence is padded: what belongs to padding is left
    /// out of the ranges. `attention_mask` without it under placements onnxruntime and openvino, where there is such an input.
    #[schema(example = "attention_mask")]
    mask_input: Option<String>,
}

/// Data to compare the models on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluationInput {
    /// Where it is, in the same form as calibration data.
    #[schema(example = "file:///data/evaluation.npz")]
    uri: String,
    /// The name of the array of labels, if there is one; `class` where the images of each class have a folder.
    #[schema(example = "y")]
    labels: Option<String>,
    /// The most samples to use; all without it.
    #[schema(minimum = 1, maximum = 10_000_000)]
    max_samples: Option<u32>,
    /// Samples per forward pass, where the model leaves it open.
    #[schema(minimum = 1, maximum = 4096)]
    batch_size: Option<u32>,
    /// How images become samples, where the data is a folder of images.
    preprocess: Option<PreprocessInput>,
}

/// What the result should reach. A result that does not is reported as such; its artifacts stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityGateInput {
    /// The least SQNR of the outputs, in dB.
    min_output_sqnr_db: Option<f64>,
    /// The largest loss of accuracy, as a fraction: 0.01 is one point.
    max_accuracy_drop: Option<f64>,
}

/// A job to be done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JobRequest)]
pub(super) struct JobSchema {
    /// A name for people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    model: ModelInput,
    calibration: Option<CalibrationInput>,
    evaluation: Option<EvaluationInput>,
    /// The `quantize` section, in the vocabulary of TAO Quant.
    #[schema(value_type = Object, example = json!({
        "backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax",
        "layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}],
        "skip_names": ["*head*"]
    }))]
    quantize: Value,
    quality_gate: Option<QualityGateInput>,
    /// Labels to find the job by: at most 64, keys and values of at most 512 characters.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of a tenant's waiting jobs, those with a higher number run first; 0 without it.
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    priority: i32,
    /// The longest an attempt may run.
    #[schema(minimum = 1, maximum = 604_800)]
    timeout_seconds: Option<u32>,
    /// The most attempts; 3 without it.
    #[schema(minimum = 1, maximum = 20)]
    max_attempts: Option<u32>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::JobSchema;
    use crate::job::JobRequest;

    /// The schema and the reader know the same fields: what one refuses the other does.
    #[test]
    fn the_schema_is_what_the_reader_takes() {
        let preprocess = json!({"resize": [256, 256], "crop": 224, "scale": 0.5, "mean": [0.5], "std": [0.5],
            "layout": "NHWC", "color": "BGR"});
        let body = json!({"name": "n", "model": {"uri": "file:///m"}, "priority": 1, "timeout_seconds": 5,
            "calibration": {"uri": "file:///c", "max_samples": 4, "batch_size": 4, "preprocess": preprocess,
                "mask_input": "m"},
            "evaluation": {"uri": "file:///e", "labels": "y", "max_samples": 4, "batch_size": 2, "preprocess": preprocess},
            "quality_gate": {"min_output_sqnr_db": 20, "max_accuracy_drop": 0.1}, "labels": {"a": "b"},
            "max_attempts": 2, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}});
        let both = |body: &Value| {
            (serde_json::from_value::<JobSchema>(body.clone()).is_ok(), JobRequest::read(body).objections.is_empty())
        };
        assert_eq!(both(&body), (true, true));
        for place in ["", "/model", "/calibration", "/calibration/preprocess", "/evaluation", "/quality_gate"] {
            let mut more = body.clone();
            more.pointer_mut(place).unwrap()["more"] = json!(1);
            assert_eq!(both(&more), (false, false), "another field in {place}");
        }
        for place in ["/model", "/quantize", "/model/uri", "/calibration/uri", "/evaluation/uri"] {
            let mut less = body.clone();
            let (parent, field) = place.rsplit_once('/').unwrap();
            less.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
            assert_eq!(both(&less), (false, false), "{place} is missing");
        }
    }
}
