//! [`JobRequest`]: a job as a client sent it, read field by field, with everything that is wrong with it at once.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::Value;

use super::{DataRef, JobSpec, preprocess};
use crate::{
    fault::Warning,
    report::QualityGate,
    spec::{Object, Objection, Parsed, QuantizeSpec, Reader, find_section, parse},
};

/// The fields of a job.
const FIELDS: [&str; 10] = [
    "name",
    "model",
    "calibration",
    "evaluation",
    "quantize",
    "quality_gate",
    "labels",
    "priority",
    "timeout_seconds",
    "max_attempts",
];

/// What stands in the hints about fields that are missing.
const QUANTIZE: &str = r#"{"backend": "torchao", "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}"#;
const MODEL: &str = r#"{"uri": "s3://bucket/model.onnx"}"#;
const URI: &str = r#""s3://bucket/model.onnx""#;

/// A request as far as it could be read. [`admit`](JobRequest::admit) makes a job of it.
#[derive(Debug)]
pub struct JobRequest {
    /// What is asked for; what could not be read of it is empty.
    pub spec: JobSpec,
    /// The rules of the `quantize` section, as far as they could be read.
    pub rules: QuantizeSpec,
    /// Everything wrong that can be found without the model and without the backends.
    pub objections: Vec<Objection>,
    /// Everything aliased, ignored or changed.
    pub warnings: Vec<Warning>,
}

/// Parses the rules of a job. A whole TAO experiment spec may stand where its `quantize` section belongs.
pub(super) fn parse_rules(quantize: &Value) -> Parsed {
    let (section, below) = find_section(quantize);
    parse(section, &format!("/quantize{below}"))
}

impl JobRequest {
    /// Reads the JSON of a request.
    pub fn read(body: &Value) -> Self {
        let mut reader = Reader::default();
        let mut request = JobRequest {
            spec: JobSpec::new("", Value::Null),
            rules: parse_rules(&Value::Object(serde_json::Map::new())).spec,
            objections: Vec::new(),
            warnings: Vec::new(),
        };
        if let Some(job) = reader.object(body, "") {
            request.read_fields(&mut reader, &job);
        }
        request.objections = reader.objections;
        request.warnings = reader.warnings;
        request
    }

    fn read_fields(&mut self, reader: &mut Reader, job: &Object<'_>) {
        let spec = &mut self.spec;
        if let Some(quantize) = reader.required(job, "quantize", "a `quantize` section", QUANTIZE) {
            let Parsed { spec: rules, objections, warnings } = parse_rules(quantize);
            spec.quantize = quantize.clone();
            self.rules = rules;
            reader.objections.extend(objections);
            reader.warnings.extend(warnings);
        }
        reader.only_known(job, &FIELDS);
        if let Some(model) = reader.required(job, "model", "a model", MODEL).map(|model| reader.object(model, "/model"))
        {
            spec.model.uri = model.map(|model| model_uri(reader, &model)).unwrap_or_default();
        }
        spec.calibration =
            reader.child(job, "calibration").map(|data| read_data(reader, &data, false, CALIBRATION_SAMPLES));
        spec.evaluation =
            reader.child(job, "evaluation").map(|data| read_data(reader, &data, true, EVALUATION_SAMPLES));
        spec.timeout_seconds = reader.integer(job, "timeout_seconds", 1..=7 * 24 * 3600);
        spec.max_attempts = reader.integer(job, "max_attempts", 1..=20);
        reader.not_null(job, "priority", "an integer");
        reader.not_null(job, "labels", "an object");
        spec.priority = reader.integer(job, "priority", JobSpec::PRIORITIES).unwrap_or_default();
        spec.name = reader.text(job, "name").map(str::to_owned);
        if let Some(name) = &spec.name {
            reader.length("/name", name.chars().count(), 1..=200, "characters");
        }
        if let Some(labels) = reader.child(job, "labels") {
            spec.labels = read_labels(reader, &labels);
        }
        if let Some(gate) = reader.child(job, "quality_gate") {
            spec.quality_gate = read_gate(reader, &gate);
        }
    }
}

fn model_uri(reader: &mut Reader, model: &Object<'_>) -> String {
    reader.only_known(model, &["uri"]);
    uri(reader, model)
}

/// The URI that every input has.
fn uri(reader: &mut Reader, input: &Object<'_>) -> String {
    if reader.required(input, "uri", "a URI", URI).is_none() {
        return String::new();
    }
    reader.text(input, "uri").unwrap_or_default().to_owned()
}

/// How many samples of calibration a job may ask for.
pub const CALIBRATION_SAMPLES: RangeInclusive<i64> = 1..=1_000_000;
/// How many samples of evaluation.
const EVALUATION_SAMPLES: RangeInclusive<i64> = 1..=10_000_000;
/// How many samples may stand in a batch.
pub const BATCH_SIZES: RangeInclusive<i64> = 1..=4096;

fn read_data(reader: &mut Reader, data: &Object<'_>, labelled: bool, samples: RangeInclusive<i64>) -> DataRef {
    let own = if labelled { "labels" } else { "mask_input" };
    reader.only_known(data, &["uri", "max_samples", "batch_size", "preprocess", own]);
    DataRef {
        uri: uri(reader, data),
        labels: if labelled { reader.text(data, "labels").map(str::to_owned) } else { None },
        max_samples: reader.integer(data, "max_samples", samples),
        batch_size: reader.integer(data, "batch_size", BATCH_SIZES),
        preprocess: reader.child(data, "preprocess").map(|object| preprocess::read(reader, &object)),
        mask_input: if labelled { None } else { reader.text(data, "mask_input").map(str::to_owned) },
    }
}

fn read_labels(reader: &mut Reader, labels: &Object<'_>) -> BTreeMap<String, String> {
    reader.length("/labels", labels.fields().count(), 0..=64, "labels");
    let mut read = BTreeMap::new();
    for (key, value) in labels.fields() {
        match value.as_str() {
            Some(value) => {
                reader.length(labels.at(key), key.chars().count(), 0..=512, "characters in its key");
                reader.length(labels.at(key), value.chars().count(), 0..=512, "characters");
                read.insert(key.clone(), value.to_owned());
            }
            None => reader.wrong_type(labels.at(key), "a string", value),
        }
    }
    read
}

fn read_gate(reader: &mut Reader, gate: &Object<'_>) -> QualityGate {
    reader.only_known(gate, &["min_output_sqnr_db", "max_accuracy_drop"]);
    QualityGate {
        min_output_sqnr_db: reader.number(gate, "min_output_sqnr_db"),
        max_accuracy_drop: reader.number(gate, "max_accuracy_drop"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(request: &JobRequest) -> Vec<&str> {
        request.objections.iter().map(|objection| objection.pointer.as_str()).collect()
    }

    #[test]
    fn a_whole_experiment_spec_may_stand_for_its_section() {
        let request = JobRequest::read(&json!({
            "model": {"uri": "file:///m.onnx"},
            "quantize": {"encryption_key": "x", "model": {"backbone": "vit"}, "quantize": {
                "backend": "modelopt.onnx", "mode": "STATIC_PTQ", "device": "cuda", "model_path": "/x.onnx",
                "layers": [{"module_name": "*", "weights": {"dtype": "int7"}}]}}
        }));
        assert_eq!(request.rules.backend, "modelopt.onnx");
        assert_eq!(pointers(&request), ["/quantize/quantize/layers/0/weights/dtype"]);
    }

    #[test]
    fn every_objection_is_reported_at_once() {
        let request = JobRequest::read(&json!({
            "model": {"uri": "file:///m.onnx"},
            "calibration": {"uri": "file:///c.npz", "batch_size": 0},
            "quantize": {"backend": "modelopt", "mode": "never", "layers": [{"module_name": ""}], "skip_nams": []},
            "max_attempts": 99
        }));
        assert_eq!(
            pointers(&request),
            [
                "/quantize/skip_nams",
                "/quantize/mode",
                "/quantize/layers/0/module_name",
                "/calibration/batch_size",
                "/max_attempts"
            ]
        );
    }

    #[test]
    fn faults_of_the_envelope_come_with_those_of_the_rules() {
        let request = JobRequest::read(&json!({
            "modle": {"uri": "file:///m.onnx"}, "evaluation": [], "calibration": {"labels": "y"},
            "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int7"}}]},
            "labels": {"team": 7}, "priority": "high", "timeout_seconds": 0.5,
            "quality_gate": {"min_output_sqnr_db": "20", "max_kl": 1}
        }));
        use crate::spec::ObjectionCode::{Missing, UnknownDtype, UnknownField, WrongType};
        let found: Vec<_> = request.objections.iter().map(|o| (&*o.pointer, o.code)).collect();
        assert_eq!(
            found,
            [
                ("/quantize/layers/0/weights/dtype", UnknownDtype),
                ("/modle", UnknownField),
                ("/model", Missing),
                ("/calibration/labels", UnknownField),
                ("/calibration/uri", Missing),
                ("/evaluation", WrongType),
                ("/timeout_seconds", WrongType),
                ("/priority", WrongType),
                ("/labels/team", WrongType),
                ("/quality_gate/max_kl", UnknownField),
                ("/quality_gate/min_output_sqnr_db", WrongType),
            ]
        );
        assert_eq!(request.objections[1].hint, "did you mean `model`?");
    }

    #[test]
    fn null_stands_only_where_the_schema_has_it() {
        let body = json!({"model": {"uri": "file:///m.onnx"}, "quantize": {}, "name": null, "timeout_seconds": null,
            "priority": null, "labels": null});
        let request = JobRequest::read(&body);
        let wrong: Vec<&str> =
            pointers(&request).into_iter().filter(|pointer| !pointer.starts_with("/quantize")).collect();
        assert_eq!(wrong, ["/priority", "/labels"]);
    }

    #[test]
    fn lengths_are_told_as_lengths() {
        let long = "x".repeat(513);
        let request = JobRequest::read(&json!({"model": {"uri": "file:///m"}, "quantize": {}, "name": "",
            "labels": {"a": long}}));
        let found: Vec<_> = request.objections.iter().map(|o| (&*o.pointer, &*o.message)).collect();
        assert!(found.contains(&("/name", "must have 1 to 200 characters, and has 0")), "{found:?}");
        assert!(found.contains(&("/labels/a", "must have at most 512 characters, and has 513")), "{found:?}");
    }

    /// Every value of some bodies replaced by one of every type: whatever is said of it is said in the words of JSON.
    #[test]
    fn no_message_speaks_of_the_program() {
        const WORDS: [&str; 18] = [
            "struct",
            "enum",
            "variant",
            "expected u",
            "expected i3",
            "expected i6",
            "expected f",
            "usize",
            "Option",
            "Vec",
            "invalid type",
            "invalid value",
            "unit value",
            "map",
            "sequence",
            "serde",
            "untagged",
            "at line",
        ];
        fn places(value: &Value, at: &str, all: &mut Vec<String>) {
            all.push(at.to_owned());
            match value {
                Value::Object(fields) => {
                    fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), all))
                }
                Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), all)),
                _ => {}
            }
        }
        let preprocess = json!({"resize": [256, 256], "crop": 224, "scale": 0.5, "mean": [0.5], "std": [0.5],
            "layout": "NCHW", "color": "RGB"});
        let body = json!({"name": "n", "model": {"uri": "file:///m"}, "priority": 1, "timeout_seconds": 5,
            "calibration": {"uri": "file:///c", "max_samples": 4, "batch_size": 4, "preprocess": preprocess,
                "mask_input": "m"},
            "evaluation": {"uri": "file:///e", "labels": "y", "max_samples": 4, "preprocess": preprocess},
            "quality_gate": {"min_output_sqnr_db": 20, "max_accuracy_drop": 0.1}, "labels": {"a": "b"},
            "max_attempts": 2, "quantize": {"backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax",
                "layers": [{"module_name": "*", "weights": {"dtype": "int8", "quant_axis": 0},
                    "activations": {"dtype": "int8"}, "algorithm": "minmax"}],
                "skip_names": ["a"], "backend_kwargs": {"placement": "tensorrt"}, "allow_unmatched": true,
                "device": "cpu", "num_calibration_samples": 5, "quantization_scheme": "W4A16"}});
        assert_eq!(JobRequest::read(&body).objections, []);
        let mut all = Vec::new();
        places(&body, "", &mut all);
        let mut seen = 0;
        let wrong = [
            json!(null),
            json!(true),
            json!(-7),
            json!(1.5),
            json!(1e300),
            json!("x"),
            json!([]),
            json!([[]]),
            json!({}),
            json!({"x": {}}),
            json!([1, 2, 3]),
        ];
        for place in all {
            for value in &wrong {
                let mut body = body.clone();
                *body.pointer_mut(&place).unwrap() = value.clone();
                for objection in JobRequest::read(&body).objections {
                    let text = format!("{} {}", objection.message, objection.hint);
                    assert!(!WORDS.iter().any(|word| text.contains(word)), "{place} = {value}: {text}");
                    assert!(
                        objection.pointer.is_empty() || objection.pointer.starts_with('/'),
                        "{}",
                        objection.pointer
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 300, "{seen} objections");
    }

    #[test]
    fn a_job_as_it_is_kept_is_read_again_as_it_was() {
        let body = json!({"model": {"uri": "file:///m"}, "quantize": {"layers": []}, "evaluation": {"uri": "file:///e",
            "labels": "y", "preprocess": {"crop": [2, 3]}}, "labels": {"a": "b"}});
        let spec = JobRequest::read(&body).spec;
        let kept = serde_json::to_value(&spec).unwrap();
        assert_eq!(serde_json::from_value::<JobSpec>(kept.clone()).unwrap(), spec);
        assert_eq!(JobRequest::read(&kept).spec, spec, "a merge patch is made to what is kept");
        let fields: Vec<String> = kept.as_object().unwrap().keys().cloned().collect();
        assert!(fields.iter().all(|field| FIELDS.contains(&&**field)), "{fields:?}");
    }
}
