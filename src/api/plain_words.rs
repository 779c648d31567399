//! What a deserializer says, in the words of JSON: its own are those of Rust's types.

use serde_json::error::Category;

/// Why text is not JSON, and where.
pub(super) fn of_json(body: &[u8], error: &serde_json::Error) -> String {
    if body.iter().all(u8::is_ascii_whitespace) {
        return "the body is empty, and JSON belongs there".to_owned();
    }
    let at = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("the JSON ends too early, at {at}"),
        // The library has no kind for it.
        _ if error.to_string().starts_with("recursion limit") => {
            format!("the JSON is nested too deeply, at {at}; 127 levels are the most")
        }
        _ => format!("the body is not JSON: something else stands at {at}"),
    }
}

/// Why the fields of a query, or of an object, are not those of a request.
pub(super) fn of_fields(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let text = text.split_once(" at line ").map_or(text, |(text, _)| text);
    if let Some((field, why)) = text.split_once(": ").filter(|(field, _)| !field.contains(' ')) {
        return format!("`{field}`: {}", reason(why));
    }
    reason(text)
}

fn reason(text: &str) -> String {
    let quoted = |rest: &str| rest.split('`').nth(1).unwrap_or_default().to_owned();
    if text.starts_with("missing field") {
        return format!("the field `{}` is required", quoted(text));
    }
    if text.starts_with("duplicate field") {
        return format!("the field `{}` stands twice", quoted(text));
    }
    for (start, what) in [("unknown field", "field"), ("unknown variant", "choice")] {
        if text.starts_with(start) {
            let known = text.split_once("expected ").map(|(_, known)| known.trim_start_matches("one of "));
            let known = known.map(|known| format!("; there is {known}")).unwrap_or_default();
            return format!("there is no {what} `{}`{known}", quoted(text));
        }
    }
    if let Some((found, expected)) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("expected {}, found {}", expected_words(expected), found_words(found));
    }
    match text {
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type"
        | "invalid float literal" => "expected a number in its range".to_owned(),
        "provided string was not `true` or `false`" => "expected true or false".to_owned(),
        other => other.to_owned(),
    }
}

fn expected_words(expected: &str) -> String {
    match expected.split(' ').next().unwrap_or_default() {
        "struct" | "internally" | "adjacently" => return "an object".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => return "a whole number of zero or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => return "a whole number".to_owned(),
        "f32" | "f64" => return "a number".to_owned(),
        _ => {}
    }
    match expected {
        "a map" | "map" => "an object",
        "a sequence" | "sequence" => "a list",
        "option" => "a value or null",
        other => other,
    }
    .to_owned()
}

fn found_words(found: &str) -> String {
    let value = found.split('`').nth(1);
    match (found.split(' ').next().unwrap_or_default(), value) {
        ("map", _) => "an object".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("integer" | "floating", Some(number)) => format!("the number {number}"),
        ("boolean", Some(value)) => value.to_owned(),
        ("string", _) => found.replacen("string", "the string", 1),
        ("unit" | "null", _) => "null".to_owned(),
        _ => found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Request {
        name: String,
        #[serde(default)]
        count: u32,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        of: BTreeMap<String, Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Large,
        Small,
    }

    fn fields(json: &str) -> String {
        of_fields(&serde_json::from_str::<Request>(json).unwrap_err().to_string())
    }

    #[test]
    fn fields_that_do_not_fit_are_named_in_the_words_of_json() {
        for (json, says) in [
            ("{}", "the field `name` is required"),
            (r#"{"name": 5}"#, "expected a string, found the number 5"),
            (r#"{"name": {}}"#, "expected a string, found an object"),
            (r#"{"name": null}"#, "expected a string, found null"),
            (r#"{"name": "a", "name": "b"}"#, "the field `name` stands twice"),
            (r#"{"name": "a", "count": -1}"#, "expected a whole number of zero or more, found the number -1"),
            (r#"{"name": "a", "count": "1"}"#, r#"expected a whole number of zero or more, found the string "1""#),
            (r#"{"name": "a", "count": true}"#, "expected a whole number of zero or more, found true"),
            (r#"{"name": "a", "tags": {}}"#, "expected a list, found an object"),
            (r#"{"name": "a", "of": []}"#, "expected an object, found a list"),
            (r#"{"name": "a", "of": {"x": "tiny"}}"#, "there is no choice `tiny`; there is `large` or `small`"),
            ("7", "expected an object, found the number 7"),
        ] {
            assert_eq!(fields(json), says, "{json}");
        }
        let unknown = fields(r#"{"name": "a", "nmae": "b"}"#);
        assert_eq!(unknown, "there is no field `nmae`; there is `name`, `count`, `tags`, `of`");
        assert_eq!(
            of_fields("Failed to deserialize query string: limit: invalid digit found in string"),
            "`limit`: expected a number in its range"
        );
        assert_eq!(of_fields("no such event: `x`"), "no such event: `x`", "what we say ourselves stays");
    }

    #[test]
    fn what_is_not_json_is_said_with_its_place() {
        let said = |body: &str| of_json(body.as_bytes(), &serde_json::from_str::<serde_json::Value>(body).unwrap_err());
        assert_eq!(said(" \n"), "the body is empty, and JSON belongs there");
        assert_eq!(said(r#"{"a": "#), "the JSON ends too early, at line 1 column 6");
        assert_eq!(said("{}}"), "the body is not JSON: something else stands at line 1 column 3");
        let deep = "[".repeat(200);
        assert_eq!(said(&deep), "the JSON is nested too deeply, at line 1 column 128; 127 levels are the most");
    }
}
