//! [`PRESETS`]: schemes by name, as inference servers load them.
//!
//! A preset is a rule for every linear layer, and options. The rule goes before those of the request, which override it, and
//! an option holds where the request gives none.

use serde_json::{Map, Value, json};

use super::{
    Choice, LayerRule, Mode, Objection,
    ObjectionCode::{OptionConflict, UnknownPreset},
    Pattern, QuantizeSpec, TensorRule,
    reader::{Object, Reader},
};
use crate::numeric::DType;

/// The one backend whose sections presets are.
pub const PRESET_BACKEND: &str = "torchao";
const MODE: Mode = Mode::WeightOnlyPtq;

/// A scheme with a name.
#[derive(Debug)]
pub struct Preset {
    /// The name that users type.
    pub name: &'static str,
    /// What it makes and who loads that, in a sentence.
    pub summary: &'static str,
    /// What the name stands for.
    pub(super) scheme: PresetScheme,
}

/// What becomes of linear layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresetScheme {
    pub(super) weights: DType,
    /// What the runtime rounds activations to as it runs.
    pub(super) activations: Option<DType>,
    /// Option `granularity`.
    pub(super) granularity: &'static str,
    /// Option `group_size`.
    pub(super) group_size: Option<u32>,
    /// Option `symmetric`.
    pub(super) symmetric: bool,
}

const INT4: PresetScheme = PresetScheme {
    weights: DType::Int4,
    activations: None,
    granularity: "per_group",
    group_size: Some(128),
    symmetric: true,
};
const INT8: PresetScheme = PresetScheme { weights: DType::Int8, ..INT4 };
/// fp8 weights alone.
pub(super) const FP8: PresetScheme = PresetScheme {
    weights: DType::Fp8E4m3fn,
    activations: None,
    granularity: "per_row",
    group_size: None,
    symmetric: true,
};
const FP8_DYNAMIC: PresetScheme = PresetScheme { activations: Some(DType::Fp8E4m3fn), ..FP8 };

/// Every preset, sorted by name. The least capability of a GPU is that of the kernels of vLLM 0.33.
pub static PRESETS: [Preset; 8] = [
    Preset {
        name: "fp8_block",
        summary: "fp8 weights in blocks of 128×128, fp8 activations in groups of 128: vLLM on GPUs of capability 8.9 \
                  (from 7.5 the weights alone) and on CPUs; transformers",
        scheme: PresetScheme { granularity: "per_block", ..FP8_DYNAMIC },
    },
    Preset {
        name: "fp8_dynamic",
        summary: "fp8 weights per row, fp8 activations per token: vLLM on GPUs of capability 8.9 (from 7.5 the weights \
                  alone); transformers",
        scheme: FP8_DYNAMIC,
    },
    Preset {
        name: "w4a16",
        summary: "int4 weights in groups of 128: vLLM on GPUs of capability 7.5 and on CPUs; transformers",
        scheme: INT4,
    },
    Preset {
        name: "w4a16_asym",
        summary: "int4 weights with zero points in groups of 128: vLLM on GPUs of capability 7.5 and on CPUs",
        scheme: PresetScheme { symmetric: false, ..INT4 },
    },
    Preset {
        name: "w4a8",
        summary: "int4 weights in groups of 128, each in a byte of the file, int8 activations per token: vLLM on Arm CPUs; \
                  transformers",
        scheme: PresetScheme { activations: Some(DType::Int8), ..INT4 },
    },
    Preset {
        name: "w4afp8",
        summary: "int4 weights in groups of 128, fp8 activations per token: vLLM on GPUs of capability 9.0 and no other; \
                  transformers",
        scheme: PresetScheme { activations: Some(DType::Fp8E4m3fn), ..INT4 },
    },
    Preset {
        name: "w8a16",
        summary: "int8 weights in groups of 128: vLLM on GPUs of capability 7.5; transformers",
        scheme: INT8,
    },
    Preset {
        name: "w8a8",
        summary: "int8 weights per row, int8 activations per token: vLLM on GPUs of capability 7.5 and on CPUs; transformers",
        scheme: PresetScheme { activations: Some(DType::Int8), granularity: "per_row", group_size: None, ..INT8 },
    },
];

impl Preset {
    /// The section that the name stands for.
    pub fn section(&self) -> Value {
        let mut spec = QuantizeSpec::empty("");
        (spec.backend, spec.mode) = (PRESET_BACKEND.to_owned(), Some(MODE));
        self.scheme.put(&mut spec, "");
        json!({"backend": spec.backend, "mode": MODE, "layers": spec.layers, "backend_kwargs": spec.backend_kwargs})
    }
}

/// The preset of a name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(name))
}

impl PresetScheme {
    /// Puts its rule before those of a section, and its options where the section has none. `pointer` is that of its name.
    pub(super) fn put(&self, spec: &mut QuantizeSpec, pointer: &str) {
        let Ok(module_name) = Pattern::new("*") else { return };
        let tensor = |dtype, dynamic| TensorRule { dtype: Choice::Quantize(dtype), quant_axis: None, dynamic };
        spec.layers.insert(
            0,
            LayerRule {
                module_name,
                weights: Some(tensor(self.weights, false)),
                activations: self.activations.map(|dtype| tensor(dtype, true)),
                algorithm: None,
                pointer: pointer.to_owned(),
                expanded: true,
            },
        );
        let options = &mut spec.backend_kwargs;
        let given = |options: &Map<String, Value>, name: &str| options.get(name).is_some_and(|value| !value.is_null());
        // One says how the other is meant, so a section has both from one hand.
        if !given(options, "granularity") && !given(options, "group_size") {
            options.insert("granularity".to_owned(), json!(self.granularity));
            options.remove("group_size");
            options.extend(self.group_size.map(|size| ("group_size".to_owned(), json!(size))));
        }
        if !self.symmetric && !given(options, "symmetric") {
            options.insert("symmetric".to_owned(), json!(false));
        }
    }
}

/// Reads the field `preset` and puts what it stands for into the section. Whether there is something in its place.
pub(super) fn read(reader: &mut Reader, section: &Object<'_>, spec: &mut QuantizeSpec) -> bool {
    if section.get("preset").is_none() {
        return false;
    }
    let pointer = section.at("preset");
    let Some(name) = reader.text(section, "preset").map(str::trim) else { return true };
    let Some(preset) = find(name) else {
        let names = || PRESETS.iter().map(|preset| preset.name);
        let objection = Objection::new(pointer, UnknownPreset, format!("there is no preset `{name}`"));
        reader.objections.push(objection.near(&name.to_ascii_lowercase(), names()).allowed(names()));
        return true;
    };
    if spec.backend != PRESET_BACKEND {
        let message = format!("preset `{}` is for backend `{PRESET_BACKEND}`, not `{}`", preset.name, spec.backend);
        let objection = Objection::new(section.at("backend"), OptionConflict, message);
        reader.objections.push(objection.hint("remove the field, or give `layers` instead of the preset"));
        return true;
    }
    spec.mode.get_or_insert(MODE);
    preset.scheme.put(spec, &pointer);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Parsed, parse};

    fn read(section: Value) -> Parsed {
        parse(&section, "/quantize")
    }

    #[test]
    fn a_preset_is_the_section_that_it_stands_for() {
        assert!(PRESETS.is_sorted_by(|a, b| a.name < b.name));
        for preset in &PRESETS {
            let (short, long) = (read(json!({"preset": preset.name})), read(preset.section()));
            assert_eq!((&short.objections, &long.objections), (&vec![], &vec![]), "{}", preset.name);
            assert_eq!((&short.warnings, json!(short.spec)), (&vec![], json!(long.spec)), "{}", preset.name);
        }
        assert_eq!(
            PRESETS[1].section(),
            json!({"backend": "torchao", "mode": "weight_only_ptq", "backend_kwargs": {"granularity": "per_row"},
                "layers": [{"module_name": "*", "weights": {"dtype": "fp8_e4m3fn"},
                    "activations": {"dtype": "fp8_e4m3fn", "dynamic": true}}]})
        );
    }

    #[test]
    fn rules_of_the_request_come_last_and_its_options_count() {
        let head = json!({"module_name": "lm_head", "weights": {"dtype": "int8"}});
        let parsed = read(json!({"preset": "W4A16_asym", "layers": [head], "skip_names": ["a"],
            "backend_kwargs": {"symmetric": true, "layout": "plain"}}));
        assert_eq!(parsed.objections, []);
        let layers = json!([{"module_name": "*", "weights": {"dtype": "int4"}}, head]);
        assert_eq!(json!(parsed.spec.layers), layers);
        let pointers: Vec<&str> = parsed.spec.layers.iter().map(|rule| &*rule.pointer).collect();
        assert_eq!(pointers, ["/quantize/preset", "/quantize/layers/0"]);
        assert_eq!(parsed.spec.layers[0].at("weights"), "/quantize/preset", "the request has nothing below it");
        let options = json!({"symmetric": true, "layout": "plain", "granularity": "per_group", "group_size": 128});
        assert_eq!(json!(parsed.spec.backend_kwargs), options);
    }

    #[test]
    fn granularity_and_the_size_of_groups_are_from_one_hand() {
        for (given, expected) in [
            (json!({"group_size": 32}), json!({"group_size": 32})),
            (json!({"granularity": "per_row"}), json!({"granularity": "per_row"})),
            (json!({"granularity": null, "group_size": null}), json!({"granularity": "per_group", "group_size": 128})),
        ] {
            let parsed = read(json!({"preset": "w4a16", "backend_kwargs": given}));
            assert_eq!(json!(parsed.spec.backend_kwargs), expected);
        }
    }

    #[test]
    fn an_unknown_name_and_another_backend_are_objected_to_alone() {
        let found = |section: Value| {
            let [objection] = &read(section).objections[..] else { panic!("not one objection") };
            (objection.pointer.clone(), objection.code, objection.hint.clone())
        };
        let (pointer, code, hint) = found(json!({"preset": "fp8_dynamc"}));
        assert_eq!((&*pointer, code), ("/quantize/preset", UnknownPreset));
        assert!(hint.contains("`fp8_dynamic`"), "{hint}");
        let (pointer, code, _) = found(json!({"preset": "w8a8", "backend": "modelopt", "mode": "static_ptq"}));
        assert_eq!((&*pointer, code), ("/quantize/backend", OptionConflict));
        assert_eq!(found(json!({"preset": 8, "backend": "torchao"})).1, crate::spec::ObjectionCode::WrongType);
    }
}
