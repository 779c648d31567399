//! From JSON or YAML to [`QuantizeSpec`], with every objection and every warning on the way.

use serde_json::{Map, Value};

use super::{
    Choice, LayerRule, Mode, NATIVE, Objection,
    ObjectionCode::{self, *},
    Pattern, QuantizeSpec, TensorRule, Warning, nearest, pointer_token,
};
use crate::{fault::WarningCode, numeric::DType};

const FIELDS: [&str; 12] = [
    "backend",
    "mode",
    "algorithm",
    "layers",
    "skip_names",
    "backend_kwargs",
    "device",
    "allow_unmatched",
    "model_path",
    "results_dir",
    "default_layer_dtype",
    "default_activation_dtype",
];

/// What parsing found. The spec is usable only where there is no objection.
#[derive(Debug)]
pub struct Parsed {
    /// The section, as far as it could be read.
    pub spec: QuantizeSpec,
    /// Everything that is wrong.
    pub objections: Vec<Objection>,
    /// Everything that was aliased, ignored or changed.
    pub warnings: Vec<Warning>,
}

/// Reads YAML, of which JSON is a part, into a JSON value.
pub fn parse_text(text: &str) -> Result<Value, Objection> {
    serde_saphyr::from_str(text).map_err(|e| {
        let reason = e.to_string();
        Objection::new("", WrongType, format!("not YAML or JSON: {}", reason.lines().next().unwrap_or_default()))
    })
}

/// The `quantize` section of a document: the document itself, or its `quantize` key as in a TAO experiment spec.
pub fn find_section(document: &Value) -> (&Value, &'static str) {
    document.get("quantize").map_or((document, ""), |section| (section, "/quantize"))
}

/// Parses the section found at `pointer`.
pub fn parse(section: &Value, pointer: &str) -> Parsed {
    let mut parser = Parser { objections: Vec::new(), warnings: Vec::new() };
    let spec = parser.section(section, pointer);
    Parsed { spec, objections: parser.objections, warnings: parser.warnings }
}

struct Parser {
    objections: Vec<Objection>,
    warnings: Vec<Warning>,
}

impl Parser {
    fn object(&mut self, pointer: impl Into<String>, code: ObjectionCode, message: impl Into<String>) {
        self.objections.push(Objection::new(pointer, code, message));
    }

    fn ignored(&mut self, pointer: String, why: &str) {
        self.warnings.push(Warning::at(pointer, WarningCode::FieldIgnored, why));
    }

    fn wrong_type(&mut self, pointer: &str, expected: &str, found: &Value) {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.object(pointer, WrongType, format!("expected {expected}, found {found}"));
    }

    /// A string field; null counts as absent.
    fn string(&mut self, map: &Map<String, Value>, base: &str, key: &str) -> Option<String> {
        match map.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()),
            other => {
                self.wrong_type(&format!("{base}/{key}"), "a string", other);
                None
            }
        }
    }

    /// A list field; null counts as empty.
    fn list<'v>(&mut self, map: &'v Map<String, Value>, base: &str, key: &str) -> &'v [Value] {
        match map.get(key) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong_type(&format!("{base}/{key}"), "a list", other);
                &[]
            }
        }
    }

    fn unknown_fields(&mut self, map: &Map<String, Value>, base: &str, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let near = nearest(key, known.iter().copied());
            let mut objection = Objection::new(
                format!("{base}/{}", pointer_token(key)),
                UnknownField,
                format!("there is no field `{key}`"),
            )
            .allowed(known);
            if let Some(near) = near.first() {
                objection = objection.hint(format!("did you mean `{near}`?"));
            }
            self.objections.push(objection);
        }
    }

    fn section(&mut self, section: &Value, base: &str) -> QuantizeSpec {
        let mut spec = QuantizeSpec {
            backend: "torchao".to_owned(),
            mode: None,
            algorithm: None,
            layers: Vec::new(),
            skip_names: Vec::new(),
            backend_kwargs: Map::new(),
            allow_unmatched: false,
            pointer: base.to_owned(),
        };
        let Value::Object(map) = section else {
            self.wrong_type(base, "an object", section);
            return spec;
        };
        self.unknown_fields(map, base, &FIELDS);
        if let Some(backend) = self.string(map, base, "backend") {
            if backend.is_empty() {
                self.object(format!("{base}/backend"), Missing, "the backend is empty");
            }
            spec.backend = backend.to_ascii_lowercase();
        }
        spec.mode = self.mode(map, base);
        spec.algorithm = self.algorithm(map, base);
        let rules = self.list(map, base, "layers");
        spec.layers =
            rules.iter().enumerate().filter_map(|(i, rule)| self.rule(rule, format!("{base}/layers/{i}"))).collect();
        if rules.is_empty() {
            let objection = Objection::new(format!("{base}/layers"), NothingToQuantize, "there are no rules");
            let hint = "add {\"module_name\": \"*\", \"weights\": {\"dtype\": \"int8\"}}";
            self.objections.push(objection.hint(hint));
        }
        let skips = self.list(map, base, "skip_names");
        spec.skip_names = skips
            .iter()
            .enumerate()
            .filter_map(|(i, skip)| self.pattern(Some(skip), &format!("{base}/skip_names/{i}")))
            .collect();
        match map.get("backend_kwargs") {
            None | Some(Value::Null) => {}
            Some(Value::Object(options)) => spec.backend_kwargs = options.clone(),
            Some(other) => self.wrong_type(&format!("{base}/backend_kwargs"), "an object", other),
        }
        match map.get("allow_unmatched") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(allow)) => spec.allow_unmatched = *allow,
            Some(other) => self.wrong_type(&format!("{base}/allow_unmatched"), "a boolean", other),
        }
        self.ignored_fields(map, base);
        spec
    }

    fn algorithm(&mut self, map: &Map<String, Value>, base: &str) -> Option<String> {
        self.string(map, base, "algorithm").filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase())
    }

    fn mode(&mut self, map: &Map<String, Value>, base: &str) -> Option<Mode> {
        let name = self.string(map, base, "mode")?.to_ascii_lowercase();
        let mode = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        if mode.is_none() {
            self.objections.push(
                Objection::new(format!("{base}/mode"), UnknownMode, format!("there is no mode `{name}`"))
                    .allowed(Mode::ALL.map(Mode::name)),
            );
        }
        mode
    }

    /// Fields that TAO has and that mean nothing here, or are given elsewhere in the job.
    fn ignored_fields(&mut self, map: &Map<String, Value>, base: &str) {
        for key in ["model_path", "results_dir"] {
            if self.string(map, base, key).is_some_and(|path| !path.is_empty()) {
                self.ignored(format!("{base}/{key}"), "paths are given by the job (`model`, `output`), not here");
            }
        }
        for key in ["default_layer_dtype", "default_activation_dtype"] {
            if let Some(name) = self.string(map, base, key) {
                let pointer = format!("{base}/{key}");
                self.choice(&name, &pointer);
                let note = "legacy defaults are ignored by every backend; use a rule with module_name `*`";
                self.warnings.push(Warning::at(pointer, WarningCode::FieldDeprecated, note));
            }
        }
        if let Some(device) = self.string(map, base, "device").filter(|d| !d.is_empty()) {
            let ordinal = device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u32>().is_ok());
            let pointer = format!("{base}/device");
            if !(ordinal || ["cuda", "cpu", "trt"].contains(&device.as_str())) {
                let objection = Objection::new(pointer, UnknownDevice, format!("there is no device `{device}`"));
                self.objections.push(objection.allowed(["cpu", "cuda", "cuda:N", "trt"]));
            } else if device != "cpu" {
                self.ignored(pointer, "this service computes on the CPU");
            }
        }
    }

    fn rule(&mut self, rule: &Value, pointer: String) -> Option<LayerRule> {
        let Value::Object(map) = rule else {
            self.wrong_type(&pointer, "an object", rule);
            return None;
        };
        self.unknown_fields(map, &pointer, &["module_name", "weights", "activations", "algorithm"]);
        let module_name = self.pattern(map.get("module_name"), &format!("{pointer}/module_name"));
        let weights = self.half(map, &pointer, "weights");
        let activations = self.half(map, &pointer, "activations");
        let algorithm = self.algorithm(map, &pointer);
        Some(LayerRule { module_name: module_name?, weights, activations, algorithm, pointer })
    }

    fn pattern(&mut self, value: Option<&Value>, pointer: &str) -> Option<Pattern> {
        let source = match value {
            Some(Value::String(source)) => source,
            None | Some(Value::Null) => {
                self.object(pointer, Missing, "a name pattern is required");
                return None;
            }
            Some(other) => {
                self.wrong_type(pointer, "a string", other);
                return None;
            }
        };
        match Pattern::new(source) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let code = if matches!(error, super::PatternError::Empty) { Missing } else { InvalidPattern };
                self.object(pointer, code, error.to_string());
                None
            }
        }
    }

    fn half(&mut self, map: &Map<String, Value>, base: &str, key: &str) -> Option<TensorRule> {
        let pointer = format!("{base}/{key}");
        let half = match map.get(key)? {
            Value::Null => return None,
            Value::Array(items) if items.len() == 1 => {
                self.warnings.push(Warning::at(
                    &pointer,
                    WarningCode::FieldAliased,
                    "a list of one was read as its element",
                ));
                &items[0]
            }
            other => other,
        };
        let Value::Object(half) = half else {
            self.wrong_type(&pointer, "an object", half);
            return None;
        };
        let known = ["dtype", "quant_axis", "observer_or_fake_quant", "observer_or_fake_quant_kwargs"];
        self.unknown_fields(half, &pointer, &known);
        for key in &known[2..] {
            let empty = match half.get(*key) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Object(options)) => options.is_empty(),
                _ => false,
            };
            if !empty {
                self.ignored(format!("{pointer}/{key}"), "observers are chosen by `algorithm`");
            }
        }
        let quant_axis = match half.get("quant_axis") {
            None | Some(Value::Null) => None,
            Some(value) if value.is_i64() => value.as_i64(),
            Some(other) => {
                self.wrong_type(&format!("{pointer}/quant_axis"), "an integer", other);
                None
            }
        };
        let name = self.string(half, &pointer, "dtype").unwrap_or_default();
        let dtype = self.choice(&name, &format!("{pointer}/dtype"))?;
        Some(TensorRule { dtype, quant_axis })
    }

    fn choice(&mut self, name: &str, pointer: &str) -> Option<Choice> {
        if name.is_empty() {
            self.object(pointer, Missing, "a dtype is required");
            return None;
        }
        if name.eq_ignore_ascii_case(NATIVE) {
            return Some(Choice::Native);
        }
        match name.parse::<DType>() {
            Ok(dtype) => {
                if !name.eq_ignore_ascii_case(dtype.spec().name) {
                    let note = format!("`{name}` was read as `{dtype}`");
                    self.warnings.push(Warning::at(pointer, WarningCode::FieldAliased, note));
                }
                Some(Choice::Quantize(dtype))
            }
            Err(error) => {
                let names = DType::ALL.map(|d| d.spec().name).into_iter().chain([NATIVE]);
                self.objections.push(Objection::new(pointer, UnknownDtype, error.to_string()).allowed(names));
                None
            }
        }
    }
}
