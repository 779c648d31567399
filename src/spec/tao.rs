//! Fields that TAO Quant has and this service says otherwise: each is read, mapped or named in a warning; none is lost.
//!
//! Two families: those of the vision networks' section, and those of cosmos-reason's, which stand in the section itself or in
//! groups of it.

use serde_json::Value;

use super::{
    Mode, Objection,
    ObjectionCode::{UnknownDevice, UnsupportedDtype},
    PRESET_BACKEND, QuantizeSpec, Warning,
    presets::{self, PresetScheme},
    reader::{Object, Reader},
    rule,
};
use crate::fault::WarningCode;

const PATHS: &str =
    "the model is given by the job (`model`), and results are the job's artifacts, or lie in the folder of `--out`";
const DATA: &str = "calibration data is given by the job (`calibration`), not here";
const DEFAULT_DTYPE: &str = "legacy defaults are ignored by every backend; use a rule with module_name `*`";

/// Fields without effect here, and what there is instead. One row is all that another needs.
const IGNORED: [(&str, &str); 12] = [
    ("model_path", PATHS),
    ("results_dir", PATHS),
    ("base_model_path", PATHS),
    ("enable_lora", "adapters are merged into the model before it is quantized, not here"),
    ("dataset_id", DATA),
    ("dataset_split", DATA),
    ("annotation_path", DATA),
    ("media_dir", DATA),
    ("max_sequence_length", "samples have the length that the calibration data gives them; cut them there"),
    ("kv_precision", "the cache of keys and values is the runtime's: ask it there (vLLM: `kv_cache_dtype`)"),
    ("smoothing_strength", "no scale is moved from activations to weights (SmoothQuant)"),
    ("skip_test_generation", "no text is generated; give the job `evaluation` to compare the models"),
];

/// Fields that are read, see [`samples`] and [`read_scheme`].
const MAPPED: [&str; 2] = ["num_calibration_samples", "quantization_scheme"];

/// Fields of the section alone whose values are looked at.
const CHECKED: [&str; 3] = ["device", "default_layer_dtype", "default_activation_dtype"];

/// Objects of the section that hold some of the fields.
const GROUPS: [&str; 3] = ["model", "calibration_dataset", "quantization_method"];

/// Every field that only TAO has.
pub(super) fn fields() -> impl Iterator<Item = &'static str> {
    of_groups().chain(CHECKED).chain(GROUPS)
}

/// Those that may stand in a group.
fn of_groups() -> impl Iterator<Item = &'static str> {
    IGNORED.into_iter().map(|(field, _)| field).chain(MAPPED)
}

/// The backend of a section that names none: TAO's, unless the mode is one that it does not have.
pub(super) fn default_backend(reader: &mut Reader, section: &Object<'_>, mode: Option<Mode>) -> &'static str {
    let (backend, note) = match mode {
        Some(Mode::WeightOnlyPtq) => return "torchao",
        Some(Mode::StaticPtq) => (
            "modelopt",
            "no backend was given: `modelopt` has the mode `static_ptq`; TAO's default, `torchao`, refuses it",
        ),
        None => (
            "torchao",
            "no backend and no mode were given: read as `torchao` with `weight_only_ptq`; TAO's own default, `torchao` with \
             `static_ptq`, is refused by its backend",
        ),
    };
    reader.warnings.push(Warning::at(section.at("backend"), WarningCode::BackendDefaulted, note));
    backend
}

/// Reads all of them. `rules`: whether the section has rules of its own. Whether a scheme stands for them otherwise.
pub(super) fn read(reader: &mut Reader, section: &Object<'_>, spec: &mut QuantizeSpec, rules: bool) -> bool {
    let mut scheme = false;
    let groups: Vec<Object<'_>> = GROUPS.iter().filter_map(|group| reader.child(section, group)).collect();
    let known: Vec<&str> = of_groups().collect();
    for group in &groups {
        reader.only_known(group, &known);
    }
    let says = |place: &Object<'_>, field| place.get(field).is_some_and(|value| value.as_str() != Some(""));
    for place in [section].into_iter().chain(&groups) {
        for (field, why) in IGNORED {
            if says(place, field) {
                reader.ignored(place.at(field), why);
            }
        }
        for field in MAPPED.into_iter().filter(|field| place.get(field).is_some()) {
            let later = groups.iter().rev().find(|group| says(group, field));
            match later.filter(|later| later.pointer != place.pointer) {
                Some(later) => {
                    reader.ignored(place.at(field), &format!("it stands at {} too, which counts", later.at(field)));
                }
                None if field == "quantization_scheme" => scheme |= read_scheme(reader, place, spec, rules),
                None => samples(reader, place, spec),
            }
        }
    }
    for field in ["default_layer_dtype", "default_activation_dtype"] {
        if let Some(name) = reader.text(section, field) {
            rule::dtype(reader, name.trim(), &section.at(field));
            reader.warnings.push(Warning::at(section.at(field), WarningCode::FieldDeprecated, DEFAULT_DTYPE));
        }
    }
    device(reader, section);
    scheme
}

fn samples(reader: &mut Reader, place: &Object<'_>, spec: &mut QuantizeSpec) {
    const FIELD: &str = "num_calibration_samples";
    const NOTE: &str = "read as `calibration.max_samples`, which counts where both are given; without calibration data it \
                        has no effect";
    if let Some(samples) = reader.integer(place, FIELD, 1..=1_000_000) {
        if spec.backend == PRESET_BACKEND {
            reader.ignored(place.at(FIELD), "backend `torchao` has no calibration");
            return;
        }
        spec.num_calibration_samples = Some(samples);
        reader.warnings.push(Warning::at(place.at(FIELD), WarningCode::FieldAliased, NOTE));
    }
}

fn device(reader: &mut Reader, section: &Object<'_>) {
    let Some(device) = reader.text(section, "device").map(str::trim).filter(|device| !device.is_empty()) else {
        return;
    };
    let pointer = section.at("device");
    let ordinal = device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u32>().is_ok());
    if !(ordinal || ["cuda", "cpu", "trt"].contains(&device)) {
        let objection = Objection::new(pointer, UnknownDevice, format!("there is no device `{device}`"));
        reader.objections.push(objection.allowed(["cpu", "cuda", "cuda:N", "trt"]));
    } else if device != "cpu" {
        reader.ignored(pointer, "this service computes on the CPU");
    }
}

/// What a scheme of llm-compressor, which cosmos-reason names, is here: the same codes on the same grid, for `Linear` layers
/// but the head.
#[derive(Clone, Copy)]
struct Scheme {
    name: &'static str,
    scheme: PresetScheme,
    /// What is not done of it.
    but: Option<&'static str>,
}

/// Static activations need data, so of `FP8` only the weights are made.
const STATIC_FP8: Scheme = Scheme {
    name: "FP8",
    scheme: PresetScheme { granularity: "per_tensor", ..presets::FP8 },
    but: Some("activations are left as they are: a checkpoint has no graph to calibrate"),
};

/// Those that are presets under the same name.
const AS_PRESETS: [&str; 4] = ["W4A16", "W8A16", "W8A8", "FP8_DYNAMIC"];

fn find_scheme(name: &str) -> Option<Scheme> {
    if name.eq_ignore_ascii_case(STATIC_FP8.name) {
        return Some(STATIC_FP8);
    }
    let known = AS_PRESETS.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
    Some(Scheme { name: known, scheme: presets::find(known)?.scheme, but: None })
}

/// Puts the rule of a scheme into the section. Whether it asked for one.
fn read_scheme(reader: &mut Reader, place: &Object<'_>, spec: &mut QuantizeSpec, rules: bool) -> bool {
    let Some(name) = reader.text(place, "quantization_scheme").map(str::trim).filter(|name| !name.is_empty()) else {
        return false;
    };
    let pointer = place.at("quantization_scheme");
    if rules {
        reader.ignored(pointer, "the section has `layers` or a `preset`, which say what is quantized");
        return false;
    }
    let scheme = find_scheme(name);
    let carried = spec.backend == PRESET_BACKEND;
    let (true, Some(scheme)) = (carried, scheme) else {
        let unknown = format!("there is no rule for the scheme `{name}` here");
        let elsewhere = "a scheme is carried out by backend `torchao`, on weights";
        let other_backend = "use backend `torchao` with mode `weight_only_ptq`";
        let unknown_name = scheme.is_none();
        let (message, hint) = match (scheme, carried) {
            (Some(_), _) => (elsewhere.to_owned(), format!("{other_backend}, or give `layers`")),
            (None, true) => (unknown, "name one of those listed, or give `layers`".to_owned()),
            (None, false) => (
                format!("{unknown}, and {elsewhere}"),
                format!("name one of those listed and {other_backend}, or give `layers`"),
            ),
        };
        let objection = Objection::new(pointer, UnsupportedDtype, message).hint(hint);
        let known = AS_PRESETS.into_iter().chain([STATIC_FP8.name]).filter(|_| unknown_name);
        reader.objections.push(objection.allowed(known));
        return true;
    };
    scheme.scheme.put(spec, &pointer);
    let granularity = spec.backend_kwargs.get("granularity").and_then(Value::as_str).unwrap_or("per_group");
    let mut note = format!("read as {} weights, {granularity}, of every linear layer", scheme.scheme.weights);
    if let Some(activations) = scheme.scheme.activations {
        note += &format!(", whose inputs the runtime rounds to {activations} as it runs");
    }
    if let Some(but) = scheme.but {
        note += &format!("; {but}");
    }
    reader.warnings.push(Warning::at(pointer, WarningCode::FieldAliased, note));
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::spec::{Mode, ObjectionCode, Parsed, parse};

    fn read(section: Value) -> Parsed {
        parse(&section, "/quantize")
    }

    fn warned(parsed: &Parsed) -> Vec<(&str, &str)> {
        parsed.warnings.iter().map(|w| (w.pointer.as_deref().unwrap_or_default(), &*w.code)).collect()
    }

    #[test]
    fn a_section_of_cosmos_reason_is_read_and_nothing_of_it_is_lost() {
        let parsed = read(json!({"backend": "torchao",
            "model": {"model_path": "/m", "enable_lora": true, "base_model_path": ""},
            "calibration_dataset": {"dataset_id": "lmms-lab/flickr30k", "dataset_split": "test[:512]",
                "num_calibration_samples": 512, "max_sequence_length": 2048},
            "quantization_method": {"quantization_scheme": "W4A16", "kv_precision": "fp8", "smoothing_strength": 0.8,
                "skip_test_generation": false}}));
        assert_eq!(parsed.objections, []);
        assert_eq!(parsed.spec.num_calibration_samples, None);
        assert_eq!(json!(parsed.spec.layers), json!([{"module_name": "*", "weights": {"dtype": "int4"}}]));
        assert_eq!(json!(parsed.spec.backend_kwargs), json!({"granularity": "per_group", "group_size": 128}));
        let expect = [
            ("/quantize/model/model_path", "field_ignored"),
            ("/quantize/model/enable_lora", "field_ignored"),
            ("/quantize/calibration_dataset/dataset_id", "field_ignored"),
            ("/quantize/calibration_dataset/dataset_split", "field_ignored"),
            ("/quantize/calibration_dataset/max_sequence_length", "field_ignored"),
            ("/quantize/calibration_dataset/num_calibration_samples", "field_ignored"),
            ("/quantize/quantization_method/kv_precision", "field_ignored"),
            ("/quantize/quantization_method/smoothing_strength", "field_ignored"),
            ("/quantize/quantization_method/skip_test_generation", "field_ignored"),
            ("/quantize/quantization_method/quantization_scheme", "field_aliased"),
        ];
        assert_eq!(warned(&parsed), expect);
    }

    #[test]
    fn a_scheme_that_no_rule_makes_is_named_and_rules_go_before_one() {
        let parsed = read(json!({"backend": "torchao", "quantization_scheme": "NVFP4"}));
        let [objection] = &parsed.objections[..] else { panic!("{:?}", parsed.objections) };
        assert_eq!(objection.pointer, "/quantize/quantization_scheme");
        assert_eq!(objection.code, ObjectionCode::UnsupportedDtype);
        assert!(objection.message.contains("NVFP4") && objection.allowed.contains(&"W4A16".to_owned()));

        let rules = json!([{"module_name": "fc", "weights": {"dtype": "int8"}}]);
        let parsed = read(json!({"backend": "torchao", "quantization_scheme": "fp8_dynamic", "layers": rules}));
        assert_eq!(json!(parsed.spec.layers), rules);
        assert_eq!(warned(&parsed), [("/quantize/quantization_scheme", "field_ignored")]);
    }

    #[test]
    fn rules_go_before_an_unknown_scheme_and_only_torchao_carries_schemes_out() {
        let rules = json!([{"module_name": "*", "weights": {"dtype": "int8"}}]);
        let parsed = read(json!({"backend": "torchao", "quantization_scheme": "NVFP4", "layers": rules}));
        assert!(parsed.objections.is_empty(), "{:?}", parsed.objections);
        assert_eq!(warned(&parsed), [("/quantize/quantization_scheme", "field_ignored")]);
        let parsed = read(json!({"backend": "modelopt", "mode": "static_ptq", "quantization_scheme": "W8A8"}));
        let pointers: Vec<&str> = parsed.objections.iter().map(|o| o.pointer.as_str()).collect();
        assert_eq!(pointers, ["/quantize/quantization_scheme"]);
        let parsed = read(json!({"backend": "modelopt", "mode": "static_ptq", "quantization_scheme": "NVFP4"}));
        let [objection] = &parsed.objections[..] else { panic!("{:?}", parsed.objections) };
        assert!(objection.message.contains("NVFP4") && objection.message.contains("torchao"), "{objection:?}");
        assert!(objection.hint.contains("weight_only_ptq") && objection.allowed.len() == 5, "{objection:?}");
    }

    #[test]
    fn a_size_of_groups_asks_for_groups_and_null_for_nothing() {
        for (given, granularity, size) in [
            (json!({"group_size": 32}), None, Some(32)),
            (json!({"group_size": null}), Some("per_group"), Some(128)),
            (json!({"granularity": "per_tensor"}), Some("per_tensor"), None),
        ] {
            let parsed = read(json!({"backend": "torchao", "quantization_scheme": "W8A16", "backend_kwargs": given}));
            let mut expect = json!({});
            expect.as_object_mut().unwrap().extend(granularity.map(|name| ("granularity".to_owned(), json!(name))));
            expect.as_object_mut().unwrap().extend(size.map(|size| ("group_size".to_owned(), json!(size))));
            assert_eq!(json!(parsed.spec.backend_kwargs), expect);
        }
    }

    #[test]
    fn what_taos_loader_would_take_and_its_backend_refuse_is_read_as_something_that_works() {
        let layers = json!([{"module_name": "*", "weights": {"dtype": "int8"}}]);
        let parsed = read(json!({"layers": layers}));
        assert_eq!((parsed.spec.backend.as_str(), parsed.spec.mode), ("torchao", None));
        assert_eq!(warned(&parsed), [("/quantize/backend", "backend_defaulted")]);
        let parsed = read(json!({"mode": "static_ptq", "layers": layers}));
        assert_eq!((parsed.spec.backend.as_str(), parsed.spec.mode), ("modelopt", Some(Mode::StaticPtq)));
        assert_eq!(warned(&parsed), [("/quantize/backend", "backend_defaulted")]);
        let parsed = read(json!({"mode": "weight_only_ptq", "layers": layers}));
        assert_eq!((parsed.spec.backend.as_str(), warned(&parsed).len()), ("torchao", 0));
    }

    #[test]
    fn of_two_fields_of_one_meaning_the_last_counts_and_the_other_is_named() {
        let parsed = read(json!({"backend": "modelopt", "mode": "static_ptq", "num_calibration_samples": 16,
            "calibration_dataset": {"num_calibration_samples": 32}, "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}));
        assert_eq!(parsed.spec.num_calibration_samples, Some(32));
        let warned = warned(&parsed);
        assert!(warned.contains(&("/quantize/num_calibration_samples", "field_ignored")), "{warned:?}");
        assert!(
            warned.contains(&("/quantize/calibration_dataset/num_calibration_samples", "field_aliased")),
            "{warned:?}"
        );
    }

    #[test]
    fn a_scheme_with_activations_declares_them_and_a_static_one_says_that_they_stay() {
        let note = |name: &str| {
            let parsed = read(json!({"backend": "torchao", "quantization_scheme": name}));
            assert_eq!(parsed.objections, []);
            (json!(parsed.spec.layers[0])["activations"].clone(), parsed.warnings[0].message.clone())
        };
        let (activations, said) = note("W8A8");
        assert_eq!(activations, json!({"dtype": "int8", "dynamic": true}));
        assert!(said.contains("rounds to int8"), "{said}");
        assert_eq!(note("FP8_DYNAMIC").0["dtype"], json!("fp8_e4m3fn"));
        let (activations, said) = note("FP8");
        assert!(activations.is_null() && said.contains("per_tensor") && said.contains("left as they are"), "{said}");
    }

    #[test]
    fn an_empty_scheme_takes_the_place_of_none() {
        let parsed = read(json!({"backend": "torchao", "quantization_scheme": "fp8_dynamic",
            "quantization_method": {"quantization_scheme": ""}}));
        assert!(parsed.objections.is_empty() && !parsed.spec.layers.is_empty(), "{:?}", parsed.objections);
    }
}
