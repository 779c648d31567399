//! Reads one entry of `layers`: which layers, and what becomes of their weights and activations.

use serde_json::Value;

use super::{
    Choice, LayerRule, NATIVE, Objection,
    ObjectionCode::{InvalidPattern, Missing, OutOfRange, UnknownDtype},
    Pattern, PatternError, TensorRule, Warning,
    pattern::RegexBudget,
    reader::{Object, Reader},
};
use crate::{fault::WarningCode, numeric::DType};

/// Fields of `weights` and `activations` that mean something here, and those that only TAO has.
const FIELDS: [&str; 2] = ["dtype", "quant_axis"];
/// Fields of `activations` alone.
const OF_ACTIVATIONS: [&str; 1] = ["dynamic"];
const OBSERVERS: [&str; 2] = ["observer_or_fake_quant", "observer_or_fake_quant_kwargs"];

/// A rule; none where its pattern cannot be read.
pub(super) fn read(reader: &mut Reader, rule: &Value, pointer: String, budget: &mut RegexBudget) -> Option<LayerRule> {
    let rule = reader.object(rule, pointer)?;
    reader.only_known(&rule, &["module_name", "weights", "activations", "algorithm"]);
    let module_name = pattern(reader, rule.get("module_name"), &rule.at("module_name"), budget);
    let weights = tensor(reader, &rule, "weights", &[]);
    let activations = tensor(reader, &rule, "activations", &OF_ACTIVATIONS);
    let algorithm = algorithm(reader, &rule);
    Some(LayerRule {
        module_name: module_name?,
        weights,
        activations,
        algorithm,
        pointer: rule.pointer,
        expanded: false,
    })
}

/// The name of an algorithm in lower case, whether there is such a one or not.
pub(super) fn algorithm(reader: &mut Reader, object: &Object<'_>) -> Option<String> {
    let name = reader.text(object, "algorithm")?.trim();
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// A pattern of names; what a regular expression takes is taken from the budget.
pub(super) fn pattern(
    reader: &mut Reader,
    value: Option<&Value>,
    pointer: &str,
    budget: &mut RegexBudget,
) -> Option<Pattern> {
    let source = match value {
        Some(Value::String(source)) => source,
        None | Some(Value::Null) => {
            reader.missing(pointer, "a name pattern", "\"*\" for every layer");
            return None;
        }
        Some(other) => {
            reader.wrong_type(pointer, "a string", other);
            return None;
        }
    };
    match Pattern::within(budget, source) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let code = match error {
                PatternError::Empty => Missing,
                PatternError::TooLong { .. } | PatternError::RegexTooLarge => OutOfRange,
                PatternError::Range { .. } | PatternError::Regex { .. } => InvalidPattern,
            };
            let objection = Objection::new(pointer, code, error.to_string());
            reader.objections.push(if matches!(error, PatternError::RegexTooLarge) {
                objection.hint("use `*`, `?` and `[…]`, or `[0-9A-Za-z_]` for `\\w`, and smaller repetitions")
            } else {
                objection
            });
            None
        }
    }
}

/// What a rule says of weights, or of activations, which have more fields. Older specs have a list of one here.
fn tensor(reader: &mut Reader, rule: &Object<'_>, field: &str, more: &[&str]) -> Option<TensorRule> {
    let pointer = rule.at(field);
    let value = match rule.get(field)? {
        Value::Array(items) => match items.as_slice() {
            [one] => {
                let note = "a list of one was read as its element";
                reader.warnings.push(Warning::at(&pointer, WarningCode::FieldAliased, note));
                one
            }
            _ => {
                reader.wrong_type(pointer, "an object", &Value::Array(Vec::new()));
                return None;
            }
        },
        other => other,
    };
    let tensor = reader.object(value, pointer)?;
    reader.only_known(&tensor, &[&FIELDS, &OBSERVERS, more].concat());
    for field in OBSERVERS {
        let empty = match tensor.get(field) {
            None => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Object(options)) => options.is_empty(),
            Some(_) => false,
        };
        if !empty {
            reader.ignored(tensor.at(field), "observers are chosen by `algorithm`");
        }
    }
    let quant_axis = reader.integer(&tensor, "quant_axis", i64::MIN..=i64::MAX);
    let name = reader.text(&tensor, "dtype").unwrap_or_default().trim();
    let dtype = dtype(reader, name, &tensor.at("dtype"))?;
    let dynamic =
        reader.switch(&tensor, "dynamic").unwrap_or(tensor.get("dynamic").is_some_and(|value| !value.is_null()));
    Some(TensorRule { dtype, quant_axis, dynamic })
}

/// A dtype by any of its names.
pub(super) fn dtype(reader: &mut Reader, name: &str, pointer: &str) -> Option<Choice> {
    if name.is_empty() {
        reader.missing(pointer, "a dtype", "\"int8\"");
        return None;
    }
    if name.eq_ignore_ascii_case(NATIVE) {
        return Some(Choice::Native);
    }
    match name.parse::<DType>() {
        Ok(dtype) => {
            if !name.eq_ignore_ascii_case(dtype.spec().name) {
                let note = format!("`{name}` was read as `{dtype}`");
                reader.warnings.push(Warning::at(pointer, WarningCode::FieldAliased, note));
            }
            Some(Choice::Quantize(dtype))
        }
        Err(error) => {
            let names = DType::ALL.map(|d| d.spec().name).into_iter().chain([NATIVE]);
            let objection = Objection::new(pointer, UnknownDtype, error.to_string()).near(name, names.clone());
            reader.objections.push(objection.allowed(names));
            None
        }
    }
}
