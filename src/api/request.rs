//! What a client sends to create a job.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, header},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

use super::{error::ApiError, preprocess::PreprocessInput};
use crate::{
    job::{CalibrationRef, EvaluationRef, JobSpec, ModelRef},
    report::QualityGate,
    spec::pointer_token,
};

/// The model to quantize.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelInput {
    /// Where it is: an ONNX file, a safetensors file, an index of shards, or a folder.
    #[schema(example = "file:///models/convnet.onnx")]
    uri: String,
}

/// Data to calibrate with.
#[derive(Debug, Deserialize, ToSchema)]
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
}

/// Data to compare the models on.
#[derive(Debug, Deserialize, ToSchema)]
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

/// What the result should reach. One that does not is reported, and kept.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityGateInput {
    /// The least SQNR of the outputs, in dB.
    min_output_sqnr_db: Option<f64>,
    /// The largest loss of accuracy, as a fraction: 0.01 is one point.
    max_accuracy_drop: Option<f64>,
}

/// A job to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
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
    /// Free labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Higher runs first.
    #[serde(default)]
    priority: i32,
    /// The longest an attempt may run.
    #[schema(minimum = 1, maximum = 604_800)]
    timeout_seconds: Option<u32>,
    /// The most attempts; 3 without it.
    #[schema(minimum = 1, maximum = 20)]
    max_attempts: Option<u32>,
}

impl JobRequest {
    /// Reads a request.
    pub(super) fn read(body: Value) -> Result<Self, ApiError> {
        const OBJECTS: [&str; 6] = [
            "/model",
            "/calibration",
            "/calibration/preprocess",
            "/evaluation",
            "/evaluation/preprocess",
            "/quality_gate",
        ];
        only_objects(&body, &OBJECTS)?;
        typed(body)
    }
}

/// The JSON of a body that says it is JSON.
pub(super) fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Value, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type != "application/json" && media_type != "application/merge-patch+json" {
        return Err(ApiError::MediaType);
    }
    let body = body.map_err(|_| ApiError::TooLarge)?;
    let mut json = serde_json::from_slice(&body)
        .map_err(|error| ApiError::Malformed { detail: error.to_string(), pointer: None })?;
    whole_numbers(&mut json);
    Ok(json)
}

/// An objection to arrays where objects belong: serde would take their values for the fields, in order.
fn only_objects(body: &Value, pointers: &[&str]) -> Result<(), ApiError> {
    for pointer in pointers {
        if body.pointer(pointer).is_some_and(Value::is_array) {
            let detail = "an object belongs here, and this is an array".to_owned();
            return Err(ApiError::Malformed { detail, pointer: Some((*pointer).to_owned()) });
        }
    }
    Ok(())
}

/// A request of some type; what does not fit is named by its place.
pub(super) fn typed<T: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    only_objects(&body, &[""])?;
    serde_path_to_error::deserialize(body).map_err(|error| {
        let pointer = pointer(error.path());
        ApiError::Malformed { detail: error.into_inner().to_string(), pointer }
    })
}

/// `3.0` is an integer in JSON, and clients send it.
fn whole_numbers(json: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match json {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|x| number.is_f64() && x.fract() == 0.0 && x.abs() < EXACT);
            if let Some(whole) = whole {
                *json = Value::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub(super) fn merge(json: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *json = patch;
        return;
    };
    if !json.is_object() {
        *json = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = json.as_object_mut() else { return };
    for (key, value) in patch {
        match value {
            Value::Null => drop(fields.shift_remove(&key)),
            value => merge(fields.entry(key).or_insert(Value::Null), value),
        }
    }
}

/// The JSON pointer to where reading stopped.
fn pointer(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let tokens = path.iter().map(|segment| match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => pointer_token(key),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".to_owned(),
    });
    let pointer: String = tokens.map(|token| format!("/{token}")).collect();
    (!pointer.is_empty()).then_some(pointer)
}

impl From<JobRequest> for JobSpec {
    fn from(request: JobRequest) -> Self {
        let gate = request.quality_gate.unwrap_or_default();
        JobSpec {
            name: request.name,
            model: ModelRef { uri: request.model.uri },
            calibration: request.calibration.map(|c| CalibrationRef {
                uri: c.uri,
                max_samples: c.max_samples,
                batch_size: c.batch_size,
                preprocess: c.preprocess.map(Into::into),
            }),
            evaluation: request.evaluation.map(|e| EvaluationRef {
                uri: e.uri,
                labels: e.labels,
                max_samples: e.max_samples,
                batch_size: e.batch_size,
                preprocess: e.preprocess.map(Into::into),
            }),
            quantize: request.quantize,
            quality_gate: QualityGate {
                min_output_sqnr_db: gate.min_output_sqnr_db,
                max_accuracy_drop: gate.max_accuracy_drop,
            },
            labels: request.labels,
            priority: request.priority,
            timeout_seconds: request.timeout_seconds,
            max_attempts: request.max_attempts,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merge_patches_do_what_the_standard_says() {
        for (mut original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut original, patch);
            assert_eq!(original, result);
        }
    }

    #[test]
    fn whole_floats_are_integers() {
        let mut json = json!({"a": [3.0, 0.5], "b": 1e300, "c": -2.0});
        whole_numbers(&mut json);
        assert_eq!(json.to_string(), r#"{"a":[3,0.5],"b":1e+300,"c":-2}"#);
    }
}
