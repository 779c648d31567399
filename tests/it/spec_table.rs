//! Every combination that TAO Quant rejects, and those it accepts and then ignores, is an objection with pointer and code;
//! every spelling that it accepts is read, with a warning where it is not the canonical one.

use ptqd::{
    backend,
    spec::{ObjectionCode, ObjectionCode::*, parse, parse_text},
};
use serde_json::{Value, json};

/// Pointers and codes of all objections to a section, in a job with or without calibration data.
fn objections(section: &Value, calibration: bool) -> Vec<(String, ObjectionCode)> {
    let parsed = parse(section, "/quantize");
    let (_, more, _) = backend::check(&parsed.spec, calibration);
    parsed.objections.into_iter().chain(more).map(|o| (o.pointer, o.code)).collect()
}

fn warnings(section: &Value) -> Vec<(String, String)> {
    let parsed = parse(section, "/quantize");
    let (_, _, more) = backend::check(&parsed.spec, true);
    let all = parsed.warnings.into_iter().chain(more);
    all.map(|w| (w.pointer.unwrap_or_default(), w.code.to_string())).collect()
}

fn torchao() -> Value {
    json!({"backend": "torchao", "mode": "weight_only_ptq",
        "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]})
}

fn modelopt() -> Value {
    json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax",
        "layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]})
}

#[test]
fn the_plain_sections_have_no_objection() {
    assert_eq!(objections(&torchao(), false), []);
    assert_eq!(objections(&modelopt(), true), []);
    assert_eq!(warnings(&modelopt()), []);
}

/// What is changed in a valid section (where, to what), whether there is calibration data, and what must be objected to.
type Case = (Value, (String, Value), bool, &'static str, ObjectionCode);

#[test]
fn every_invalid_combination_is_named() {
    let layer = |value: Value| ("/layers/0".to_owned(), value);
    let field = |name: &str, value: Value| (format!("/{name}"), value);
    let int8 = json!({"dtype": "int8"});
    let kwargs = |value: Value| ("/backend_kwargs".to_owned(), value);
    let fp8 = || {
        let mut section = torchao();
        section["layers"][0]["weights"]["dtype"] = json!("fp8_e4m3fn");
        section
    };
    let at = |name: &str| -> &'static str { Box::leak(format!("/quantize/backend_kwargs/{name}").into_boxed_str()) };
    let cases: Vec<Case> = vec![
        (torchao(), kwargs(json!({"granularity": "per_column"})), false, at("granularity"), OutOfRange),
        (torchao(), kwargs(json!({"group_size": 48})), false, at("group_size"), OutOfRange),
        (torchao(), kwargs(json!({"group_size": "64"})), false, at("group_size"), WrongType),
        (torchao(), kwargs(json!({"symmetric": "no"})), false, at("symmetric"), WrongType),
        (torchao(), kwargs(json!({"layout": ["plain"]})), false, at("layout"), WrongType),
        (torchao(), kwargs(json!({"a/b": 1})), false, at("a~1b"), UnknownBackendOption),
        (
            torchao(),
            kwargs(json!({"granularity": "per_row", "group_size": 64})),
            false,
            at("group_size"),
            OptionConflict,
        ),
        (torchao(), kwargs(json!({"granularity": "per_block"})), false, at("granularity"), OptionConflict),
        (
            torchao(),
            kwargs(json!({"form": "matmul_nbits", "granularity": "per_row"})),
            false,
            at("granularity"),
            OptionConflict,
        ),
        (torchao(), kwargs(json!({"accuracy_level": 4})), false, at("accuracy_level"), OptionConflict),
        (
            torchao(),
            kwargs(json!({"form": "matmul_nbits", "accuracy_level": 5})),
            false,
            at("accuracy_level"),
            OutOfRange,
        ),
        (modelopt(), kwargs(json!({"form": "matmul_nbits"})), true, at("form"), UnknownBackendOption),
        (fp8(), kwargs(json!({"symmetric": false})), false, at("symmetric"), OptionConflict),
        (torchao(), field("backend", json!("")), false, "/quantize/backend", Missing),
        (torchao(), field("backend", json!("torchoa")), false, "/quantize/backend", UnknownBackend),
        (torchao(), field("mode", json!("static_ptq")), false, "/quantize/mode", UnsupportedMode),
        (modelopt(), field("mode", json!("weight_only_ptq")), true, "/quantize/mode", UnsupportedMode),
        (torchao(), field("mode", json!("qat")), false, "/quantize/mode", UnknownMode),
        (torchao(), field("mode", json!(3)), false, "/quantize/mode", WrongType),
        (
            torchao(),
            layer(json!({"module_name": "*", "weights": {"dtype": "int7"}})),
            false,
            "/quantize/layers/0/weights/dtype",
            UnknownDtype,
        ),
        (
            torchao(),
            layer(json!({"module_name": "*", "weights": {"dtype": "fp8"}})),
            false,
            "/quantize/layers/0/weights/dtype",
            UnknownDtype,
        ),
        (
            torchao(),
            layer(json!({"module_name": "*", "weights": {"dtype": null}})),
            false,
            "/quantize/layers/0/weights/dtype",
            Missing,
        ),
        (
            torchao(),
            layer(json!({"module_name": "", "weights": int8})),
            false,
            "/quantize/layers/0/module_name",
            Missing,
        ),
        (torchao(), layer(json!({"weights": int8})), false, "/quantize/layers/0/module_name", Missing),
        (
            torchao(),
            layer(json!({"module_name": ["a"], "weights": int8})),
            false,
            "/quantize/layers/0/module_name",
            WrongType,
        ),
        (
            torchao(),
            layer(json!({"module_name": "re:(", "weights": int8})),
            false,
            "/quantize/layers/0/module_name",
            InvalidPattern,
        ),
        (torchao(), field("skip_names", json!([""])), false, "/quantize/skip_names/0", Missing),
        (
            torchao(),
            layer(json!({"module_name": "*", "weights": {"dtype": "int8", "bits": 8}})),
            false,
            "/quantize/layers/0/weights/bits",
            UnknownField,
        ),
        (torchao(), field("skip_nams", json!([])), false, "/quantize/skip_nams", UnknownField),
        (torchao(), field("device", json!("tpu")), false, "/quantize/device", UnknownDevice),
        (torchao(), field("layers", json!([])), false, "/quantize/layers", NothingToQuantize),
        (
            torchao(),
            field("backend_kwargs", json!({"x": 1})),
            false,
            "/quantize/backend_kwargs/x",
            UnknownBackendOption,
        ),
        (
            modelopt(),
            field("backend_kwargs", json!({"reduce_range": "yes"})),
            true,
            "/quantize/backend_kwargs/reduce_range",
            WrongType,
        ),
        // Accepted by TAO, and then ignored or not done.
        (torchao(), field("algorithm", json!("entropy")), false, "/quantize/algorithm", UnsupportedAlgorithm),
        (torchao(), field("algorithm", json!("awq_lite")), false, "/quantize/algorithm", UnsupportedAlgorithm),
        (modelopt(), field("algorithm", json!("awq_clip")), true, "/quantize/algorithm", UnsupportedAlgorithm),
        (modelopt(), field("algorithm", json!("rtn_dq")), true, "/quantize/algorithm", UnsupportedAlgorithm),
        (modelopt(), field("algorithm", json!("average")), true, "/quantize/algorithm", UnknownAlgorithm),
        (torchao(), field("allow_unmatched", json!(false)), true, "/calibration", CalibrationNotApplicable),
        (modelopt(), field("allow_unmatched", json!(false)), false, "/calibration", CalibrationMissing),
        (
            modelopt(),
            layer(json!({"module_name": "*", "weights": int8, "activations": {"dtype": "int4"}})),
            true,
            "/quantize/layers/0/activations/dtype",
            UnsupportedDtype,
        ),
        (
            modelopt(),
            layer(json!({"module_name": "*", "weights": int8, "activations": int8, "algorithm": "rtn_dq"})),
            true,
            "/quantize/layers/0/algorithm",
            UnsupportedAlgorithm,
        ),
        (
            modelopt(),
            field("backend_kwargs", json!({"percentile": 101})),
            true,
            "/quantize/backend_kwargs/percentile",
            OutOfRange,
        ),
        (
            modelopt(),
            layer(json!({"module_name": "*", "weights": {"dtype": "native"}, "activations": int8})),
            true,
            "/quantize/layers/0/activations",
            ActivationsWithoutWeights,
        ),
        (
            torchao(),
            layer(json!({"module_name": "*", "weights": {"dtype": "int8", "quant_axis": 1}})),
            false,
            "/quantize/layers/0/weights",
            UnsupportedQuantAxis,
        ),
        (
            modelopt(),
            layer(json!({"module_name": "*", "weights": int8, "activations": {"dtype": "int8", "quant_axis": 0}})),
            true,
            "/quantize/layers/0/activations",
            UnsupportedQuantAxis,
        ),
    ];
    for (mut section, (at, value), calibration, pointer, code) in cases {
        match section.pointer_mut(&at) {
            Some(place) => *place = value.clone(),
            None => section[&at[1..]] = value.clone(),
        }
        let found = objections(&section, calibration);
        let pointer = if code == UnsupportedQuantAxis { format!("{pointer}/quant_axis") } else { pointer.to_owned() };
        assert_eq!(found, [(pointer, code)], "{at} = {value}");
    }
}

#[test]
fn all_objections_come_at_once() {
    let section = json!({"backend": "torchao", "mode": "static_ptq", "algorithm": "entropy",
        "layers": [{"module_name": "re:[", "weights": {"dtype": "int8"}}, {"module_name": "a", "weights": {"dtype": "x"}}]});
    let codes: Vec<_> = objections(&section, true).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [InvalidPattern, UnknownDtype, UnsupportedMode, UnsupportedAlgorithm, CalibrationNotApplicable]);
}

#[test]
fn other_spellings_are_read_with_a_warning() {
    let yaml = "
backend: MODELOPT_ONNX
mode: STATIC_PTQ
algorithm: max
device: cuda:0
model_path: /models/x.onnx
default_layer_dtype: int8
layers:
  - module_name: type:Conv
    weights: {dtype: INT8, quant_axis: 0, observer_or_fake_quant: histogram}
    activations: [{dtype: int8}]
";
    let section = parse_text(yaml).unwrap();
    assert_eq!(objections(&section, true), []);
    let found = warnings(&section);
    let expect = [
        ("/quantize/layers/0/weights/observer_or_fake_quant", "field_ignored"),
        ("/quantize/layers/0/activations", "field_aliased"),
        ("/quantize/model_path", "field_ignored"),
        ("/quantize/default_layer_dtype", "field_deprecated"),
        ("/quantize/device", "field_ignored"),
        ("/quantize/backend", "field_aliased"),
        ("/quantize/layers/0/weights/quant_axis", "field_ignored"),
    ];
    assert_eq!(found, expect.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));

    let mut float8 = torchao();
    float8["layers"][0]["weights"]["dtype"] = json!("float8_e4m3fn");
    float8["layers"][0]["activations"] = json!({"dtype": "int8"});
    float8["algorithm"] = json!("minmax");
    assert_eq!(objections(&float8, false), []);
    let codes: Vec<_> = warnings(&float8).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["field_aliased", "field_ignored", "activations_ignored"]);
}

#[test]
fn taos_registered_names_and_the_fields_of_cosmos_reason_are_taken() {
    for (name, canonical) in [("torchao", "torchao"), ("modelopt.onnx", "modelopt"), ("modelopt.pytorch", "modelopt")] {
        let mut section = if canonical == "torchao" { torchao() } else { modelopt() };
        section["backend"] = json!(name);
        assert_eq!(objections(&section, canonical == "modelopt"), [], "{name}");
        let parsed = parse(&section, "/quantize");
        let (found, ..) = backend::check(&parsed.spec, true);
        assert_eq!(found.unwrap().capabilities().name, canonical);
    }
    let cosmos = json!({"backend": "torchao", "quantization_scheme": "W4A16", "kv_precision": "bf16",
        "max_sequence_length": 2048, "num_calibration_samples": 512, "smoothing_strength": 0.8,
        "skip_test_generation": false});
    assert_eq!(objections(&cosmos, false), []);
    let named: Vec<String> = warnings(&cosmos).into_iter().map(|(pointer, _)| pointer).collect();
    for field in cosmos.as_object().unwrap().keys().filter(|field| *field != "backend") {
        assert!(named.contains(&format!("/quantize/{field}")), "{field} is lost: {named:?}");
    }
}

#[test]
fn the_effective_section_has_canonical_names_and_defaults() {
    let section = json!({"backend": "modelopt.onnx", "algorithm": "max",
        "layers": [{"module_name": "*", "weights": {"dtype": "Int8"}}]});
    let parsed = parse(&section, "/quantize");
    let (found, _, warned) = backend::check(&parsed.spec, false);
    let effective = backend::effective(&parsed.spec, found.unwrap().capabilities());
    assert_eq!(effective["backend"], "modelopt");
    assert_eq!(effective["mode"], "static_ptq");
    assert_eq!(effective["algorithm"], "minmax");
    assert_eq!(effective["layers"][0]["weights"]["dtype"], "int8");
    assert!(warned.iter().any(|w| w.code == "mode_defaulted"));
}

#[test]
fn hostile_documents_are_refused_without_harm() {
    assert!(parse_text("a: [b").is_err());
    let bomb =
        format!("a0: &a0 x\n{}", (1..40).map(|i| format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1)).collect::<String>());
    assert!(parse_text(&bomb).is_err(), "an alias bomb");
    assert!(parse_text(&"[".repeat(100_000)).is_err(), "deep nesting");
    for wrong in [json!(null), json!([]), json!("int8"), json!({"layers": {"a": 1}}), json!({"layers": [1]})] {
        assert!(!objections(&wrong, false).is_empty(), "{wrong}");
    }
}
