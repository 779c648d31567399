//! From JSON to [`QuantizeSpec`], with every objection and every warning on the way.

use serde_json::Value;

use super::{
    Mode, Objection,
    ObjectionCode::{NothingToQuantize, UnknownMode},
    QuantizeSpec, Warning,
    reader::{Object, Reader},
    rule::{self, algorithm},
    tao,
};

/// The section's own fields, beside those that are only TAO's.
const FIELDS: [&str; 7] = ["backend", "mode", "algorithm", "layers", "skip_names", "backend_kwargs", "allow_unmatched"];

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
    spec.backend = backend.unwrap_or_else(|| tao::default_backend(reader, section, spec.mode).to_owned());
    spec.algorithm = algorithm(reader, section);
    let rules = reader.list(section, "layers", "a list of rules").iter().enumerate();
    spec.layers = rules
        .clone()
        .filter_map(|(i, rule)| rule::read(reader, rule, format!("{}/layers/{i}", section.pointer)))
        .collect();
    let skips = reader.list(section, "skip_names", "a list of names").iter().enumerate();
    spec.skip_names = skips
        .filter_map(|(i, skip)| rule::pattern(reader, Some(skip), &format!("{}/skip_names/{i}", section.pointer)))
        .collect();
    if let Some(options) = section.get("backend_kwargs") {
        match options.as_object() {
            Some(options) => spec.backend_kwargs = options.clone(),
            None => reader.wrong_type(section.at("backend_kwargs"), "an object", options),
        }
    }
    spec.allow_unmatched = reader.switch(section, "allow_unmatched").unwrap_or(false);
    let given = rules.len() > 0;
    let scheme = tao::read(reader, section, spec, given);
    // What is no list is objected to already.
    let unread = section.get("layers").is_some_and(|layers| !layers.is_array());
    if !given && !scheme && !unread {
        let objection = Objection::new(section.at("layers"), NothingToQuantize, "there are no rules");
        let hint = "add {\"module_name\": \"*\", \"weights\": {\"dtype\": \"int8\"}}";
        reader.objections.push(objection.hint(hint));
    }
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
