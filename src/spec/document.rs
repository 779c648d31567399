//! From text to the section: YAML or JSON, a `quantize` section or an experiment spec that has one.

use serde_json::Value;

use super::{Objection, ObjectionCode};

/// Reads YAML, of which JSON is a part, into a JSON value.
pub fn parse_text(text: &str) -> Result<Value, Objection> {
    serde_saphyr::from_str(text).map_err(|e| {
        let reason = e.to_string();
        let message = format!("not YAML or JSON: {}", reason.lines().next().unwrap_or_default());
        Objection::new("", ObjectionCode::WrongType, message)
    })
}

/// The `quantize` section of a document: the document itself, or its `quantize` key as in a TAO experiment spec.
pub fn find_section(document: &Value) -> (&Value, &'static str) {
    document.get("quantize").map_or((document, ""), |section| (section, "/quantize"))
}
