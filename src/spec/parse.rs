//! From JSON to [`QuantizeSpec`], with every objection and every warning on the way.

use serde_json::Value;

use super::{
    Mode, Objection,
    ObjectionCode::{NothingToQuantize, OutOfRange, UnknownMode},
    PRESET_BACKEND, QuantizeSpec, Warning,
    pattern::RegexBudget,
    presets,
    reader::{Object, Reader},
    rule::{self, algorithm},
    tao,
};

/// The section's own fields, beside those that are only TAO's.
const FIELDS: [&str; 8] =
    ["preset", "backend", "mode", "algorithm", "layers", "skip_names", "backend_kwargs", "allow_unmatched"];

/// The most rules and skips together. Each is tried on every layer of a model, and models have hundreds of thousands.
const MOST_PATTERNS: usize = 256;

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

/// Parses the section found at `pointer`.
pub fn parse(section: &Value, pointer: &str) -> Parsed {
    let mut reader = Reader::default();
    let mut spec = QuantizeSpec::empty(pointer);
    if let Some(section) = reader.object(section, pointer) {
        read(&mut reader, &section, &mut spec);
    }
    Parsed { spec, objections: reader.objections, warnings: reader.warnings }
}

fn read(reader: &mut Reader, section: &Object<'_>, spec: &mut QuantizeSpec) {
    let known: Vec<&str> = FIELDS.into_iter().chain(tao::fields()).collect();
    reader.only_known(section, &known);
    let backend = reader.text(section, "backend").map(|name| name.trim().to_ascii_lowercase());
    if backend.as_deref() == Some("") {
        reader.missing(section.at("backend"), "a backend", "\"torchao\"");
    }
    spec.mode = mode(reader, section);
    spec.backend = backend.unwrap_or_else(|| match section.get("preset") {
        Some(_) => PRESET_BACKEND.to_owned(),
        None => tao::default_backend(reader, section, spec.mode).to_owned(),
    });
    spec.algorithm = algorithm(reader, section);
    let given = patterns(reader, section, spec);
    if let Some(options) = section.get("backend_kwargs") {
        match options.as_object() {
            Some(options) => spec.backend_kwargs = options.clone(),
            None => reader.wrong_type(section.at("backend_kwargs"), "an object", options),
        }
    }
    spec.allow_unmatched = reader.switch(section, "allow_unmatched").unwrap_or(false);
    let given = presets::read(reader, section, spec) || given;
    let scheme = tao::read(reader, section, spec, given);
    // What is no list is objected to already.
    let unread = section.get("layers").is_some_and(|layers| !layers.is_array());
    if !given && !scheme && !unread {
        let objection = Objection::new(section.at("layers"), NothingToQuantize, "there are no rules");
        let hint = "add {\"module_name\": \"*\", \"weights\": {\"dtype\": \"int8\"}}";
        reader.objections.push(objection.hint(hint));
    }
}

/// Reads `layers` and `skip_names`. Whether there are rules.
fn patterns(reader: &mut Reader, section: &Object<'_>, spec: &mut QuantizeSpec) -> bool {
    let rules = reader.list(section, "layers", "a list of rules");
    let skips = reader.list(section, "skip_names", "a list of names");
    let count = rules.len() + skips.len();
    if count > MOST_PATTERNS {
        // None of them is read: so many could be made to take long.
        let field = if rules.len() > skips.len() { "layers" } else { "skip_names" };
        let message = format!("there are {count} rules and skips; at most {MOST_PATTERNS} are allowed");
        let hint = "name several layers by one pattern: `*`, `?`, `[…]`, or a regular expression after `re:`";
        reader.objections.push(Objection::new(section.at(field), OutOfRange, message).hint(hint));
        return true;
    }
    let given = !rules.is_empty();
    let mut budget = RegexBudget::default();
    let at = |i, field| format!("{}/{i}", section.at(field));
    let rules = rules.iter().enumerate();
    spec.layers = rules.filter_map(|(i, rule)| rule::read(reader, rule, at(i, "layers"), &mut budget)).collect();
    let skips = skips.iter().enumerate();
    let skip = |(i, skip)| rule::pattern(reader, Some(skip), &at(i, "skip_names"), &mut budget);
    spec.skip_names = skips.filter_map(skip).collect();
    given
}

fn mode(reader: &mut Reader, section: &Object<'_>) -> Option<Mode> {
    let name = reader.text(section, "mode")?.trim().to_ascii_lowercase();
    let mode = Mode::ALL.into_iter().find(|mode| mode.name() == name);
    if mode.is_none() {
        let objection = Objection::new(section.at("mode"), UnknownMode, format!("there is no mode `{name}`"));
        let names = Mode::ALL.map(Mode::name);
        reader.objections.push(objection.near(&name, names).allowed(names));
    }
    mode
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::ObjectionCode::InvalidPattern, *};

    fn found(section: &Value) -> Vec<(String, super::super::ObjectionCode)> {
        parse(section, "/quantize").objections.into_iter().map(|o| (o.pointer, o.code)).collect()
    }

    #[test]
    fn there_are_as_many_rules_and_skips_as_may_be_tried_on_every_layer() {
        let rule = json!({"module_name": "*", "weights": {"dtype": "int8"}});
        let with = |rules: usize, skips: usize| json!({"backend": "torchao", "layers": vec![&rule; rules], "skip_names": vec![r"re:\w{33}"; skips]});
        assert_eq!(found(&json!({"backend": "torchao", "layers": vec![&rule; 256]})), []);
        assert_eq!(found(&with(257, 0)), [("/quantize/layers".to_owned(), OutOfRange)]);
        assert_eq!(found(&with(1, 2000)), [("/quantize/skip_names".to_owned(), OutOfRange)]);
    }

    #[test]
    fn regular_expressions_share_one_budget_and_long_patterns_are_refused() {
        let skips: Vec<String> =
            (0..200).map(|_| r"re:\w{33}".to_owned()).chain(["x".repeat(513), "[b-a]".to_owned()]).collect();
        let rule = json!({"module_name": r"re:\w{33}", "weights": {"dtype": "int8"}});
        let objections = found(&json!({"backend": "torchao", "layers": [rule], "skip_names": skips}));
        let (last, over) = objections.split_at(objections.len() - 1);
        assert_eq!(over, [("/quantize/skip_names/201".to_owned(), InvalidPattern)]);
        assert!(last.len() > 100 && last.iter().all(|(_, code)| *code == OutOfRange), "{last:?}");
        assert!(!last.iter().any(|(pointer, _)| pointer.contains("layers")), "the first of them fits");
    }
}
