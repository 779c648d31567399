//! From text to the section: YAML or JSON, a `quantize` section or an experiment spec that has one.

use serde_json::Value;
use serde_saphyr::Error;

use super::{Objection, ObjectionCode};

/// Reads YAML, of which JSON is a part, into a JSON value.
pub fn parse_text(text: &str) -> Result<Value, Objection> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| format!(", at line {} column {}", at.line(), at.column()));
        let message = format!("not YAML or JSON: {}{}", in_plain_words(&error), place.unwrap_or_default());
        Objection::new("", ObjectionCode::WrongType, message).hint("mend the text there")
    })
}

/// What the library says in words of its own, which are those of its programmers.
fn in_plain_words(error: &Error) -> String {
    match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` stands twice"),
        Error::DuplicateMappingKey { .. } => "a key stands twice".to_owned(),
        Error::MultipleDocuments { .. } => "there is more than one document, and one belongs there".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an anchor holds an alias of itself".to_owned(),
        Error::UnknownAnchor { .. } => "there is no anchor of the name of an alias".to_owned(),
        Error::AliasError { error, .. } => in_plain_words(error),
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error:").unwrap_or(line).trim();
            // It begins with the place, or ends with it, which is said already.
            let line = line.split(" at line ").next().unwrap_or(line);
            match line.split_once(": ") {
                Some((place, what)) if place.starts_with("line ") => what.to_owned(),
                _ => line.to_owned(),
            }
        }
    }
}

/// The `quantize` section of a document: the document itself, or its `quantize` key as in a TAO experiment spec.
pub fn find_section(document: &Value) -> (&Value, &'static str) {
    document.get("quantize").map_or((document, ""), |section| (section, "/quantize"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_yaml_is_said_in_plain_words_with_its_place() {
        for (text, says) in [
            ("backend: a\nbackend: b\n", "the key `backend` stands twice, at line 2 column 1"),
            ("a: 1\n---\nb: 2\n", "there is more than one document, and one belongs there, at line 3 column 1"),
            ("a: &x\n  b: *x\n", "an anchor holds an alias of itself, at line 2 column 6"),
            ("a: *x\n", "there is no anchor of the name of an alias, at line 1 column 4"),
        ] {
            assert_eq!(parse_text(text).unwrap_err().message, format!("not YAML or JSON: {says}"));
        }
        for text in ["{\"a\": [1, 2", "a: b: c", "a: \"\\q\"", "- a\nb: c\n"] {
            let message = parse_text(text).unwrap_err().message;
            assert!(!message.contains("error:") && message.matches(" at line ").count() == 1, "{message}");
        }
    }
}
