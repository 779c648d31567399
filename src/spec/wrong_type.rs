//! What is said of a value of the wrong JSON type.

use serde_json::{Number, Value};

use super::{Objection, ObjectionCode::WrongType};

impl Objection {
    /// An objection to the type of a value. `expected` has its article: "a string".
    pub fn wrong_type(pointer: impl Into<String>, expected: &str, found: &Value) -> Self {
        let objection = Objection::new(pointer, WrongType, format!("expected {expected}, found {}", kind(found)));
        match as_written(expected, found) {
            Some(text) => objection.hint(text),
            None => objection,
        }
    }
}

/// What a JSON value is, with its article.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// How the value would be written as what is expected, where that can be told: quotation marks too many or too few, and
/// one thing where a list of one belongs.
fn as_written(expected: &str, found: &Value) -> Option<String> {
    let without_quotes = |text: &str| format!("write {text} without quotation marks");
    match (expected, found) {
        (_, Value::Null) => Some(format!("give {expected}, or leave the field out")),
        ("an integer", Value::String(text)) => {
            number(text).is_some_and(|number| number.is_i64()).then(|| without_quotes(text))
        }
        ("a number", Value::String(text)) => number(text).map(|_| without_quotes(text)),
        ("a boolean", Value::String(text)) => matches!(&**text, "true" | "false").then(|| without_quotes(text)),
        ("a string", Value::Number(_) | Value::Bool(_)) => Some(format!("write \"{found}\", with quotation marks")),
        ("an integer", Value::Number(_)) => Some("give a whole number".to_owned()),
        ("a list of names", Value::String(_)) | ("a list of numbers", Value::Number(_)) => {
            Some(format!("write [{found}]"))
        }
        _ => None,
    }
}

/// The number that a text is in JSON, which has neither signs before positive numbers nor infinities.
fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_the_wrong_type_is_shown_as_it_should_be_written() {
        for (expected, found, hint) in [
            ("an integer", json!("8"), "write 8 without quotation marks"),
            ("an integer", json!("many"), "Give a value of the type that the message names."),
            ("an integer", json!(1.5), "give a whole number"),
            ("a boolean", json!("true"), "write true without quotation marks"),
            ("a string", json!(8), "write \"8\", with quotation marks"),
            ("an integer", json!("+5"), "Give a value of the type that the message names."),
            ("a number", json!("1e-3"), "write 1e-3 without quotation marks"),
            ("a number", json!("NaN"), "Give a value of the type that the message names."),
            ("a number", json!("inf"), "Give a value of the type that the message names."),
            ("a list of names", json!("head"), "write [\"head\"]"),
            ("a list of numbers", json!(0.5), "write [0.5]"),
            ("a list of rules", json!("*"), "Give a value of the type that the message names."),
            ("a string", Value::Null, "give a string, or leave the field out"),
        ] {
            assert_eq!(Objection::wrong_type("/x", expected, &found).hint, hint);
        }
    }
}
