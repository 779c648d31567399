//! What a parser of JSON says, in the words of JSON: its own are those of Rust's types.

use serde_json::error::{Category, Error};

/// What the library says of syntax, by how it begins, and what is said instead.
const SYNTAX: [(&str, &str); 14] = [
    ("recursion limit", "it is nested more than 127 levels deep"),
    ("number out of range", "a number is too large to be read"),
    ("invalid number", "a number is not written as JSON has it"),
    ("invalid escape", "a backslash stands before what it cannot escape"),
    ("lone leading surrogate", "`\\u` stands before half a character"),
    ("unexpected end of hex escape", "`\\u` stands before half a character"),
    ("control character", "a control character stands in a string, where `\\n` or `\\u` and its number belongs"),
    ("invalid unicode code point", "its bytes are not UTF-8"),
    ("trailing comma", "a comma stands before a closing bracket"),
    ("trailing characters", "something stands behind its end"),
    ("key must be a string", "a key is not in quotation marks"),
    ("expected `:`", "a colon belongs between a key and its value"),
    ("expected `,`", "a comma or a closing bracket is missing"),
    ("expected", "something stands where a value belongs"),
];

/// Why a text is not JSON, or not the JSON that belongs there, and where: "it ends too early, at line 1 column 6".
pub fn json_words(error: &Error) -> String {
    let text = error.to_string();
    // The place is said once, and by us.
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let what = match error.classify() {
        Category::Io => return text.to_owned(),
        Category::Eof => "it ends too early".to_owned(),
        Category::Syntax => {
            let known = SYNTAX.iter().find(|(start, _)| text.starts_with(start));
            known.map_or("it is written otherwise than JSON", |(_, words)| words).to_owned()
        }
        Category::Data => of_data(text),
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

fn of_data(text: &str) -> String {
    let name = text.split('`').nth(1).unwrap_or_default();
    for (start, words) in [
        ("missing field", format!("the field `{name}` is missing")),
        ("unknown field", format!("there is no field `{name}`")),
        ("duplicate field", format!("the field `{name}` stands twice")),
        ("unknown variant", format!("there is no `{name}`")),
    ] {
        if text.starts_with(start) {
            return words;
        }
    }
    if ["invalid ", "data did not match"].iter().any(|start| text.starts_with(start)) {
        return "a value is not of the kind that belongs there".to_owned();
    }
    // Our own words.
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Form {
        version: u32,
        tensors: BTreeMap<String, u64>,
    }

    fn words<'j, T: Deserialize<'j> + std::fmt::Debug>(text: &'j [u8]) -> String {
        json_words(&serde_json::from_slice::<T>(text).unwrap_err())
    }

    #[test]
    fn faults_of_syntax_are_told_apart() {
        let deep = "[".repeat(200);
        for (text, says) in [
            (r#"{"a": "#, "it ends too early, at line 1 column 6"),
            (&deep, "it is nested more than 127 levels deep, at line 1 column 128"),
            ("[1e999]", "a number is too large to be read, at line 1 column 6"),
            ("[01]", "a number is not written as JSON has it, at line 1 column 3"),
            (r#"["\q"]"#, "a backslash stands before what it cannot escape, at line 1 column 4"),
            ("[1,]", "a comma stands before a closing bracket, at line 1 column 4"),
            ("{}}", "something stands behind its end, at line 1 column 3"),
            ("{a: 1}", "a key is not in quotation marks, at line 1 column 2"),
            (r#"{"a" 1}"#, "a colon belongs between a key and its value, at line 1 column 6"),
            ("[1 2]", "a comma or a closing bracket is missing, at line 1 column 4"),
            ("[nan]", "something stands where a value belongs, at line 1 column 3"),
        ] {
            assert_eq!(words::<serde_json::Value>(text.as_bytes()), says);
        }
        assert!(words::<serde_json::Value>(b"[\"\xff\"]").starts_with("its bytes are not UTF-8"));
    }

    #[test]
    fn faults_of_form_are_told_without_the_names_of_types() {
        for (text, says) in [
            (r#"{"version": "1"}"#, "a value is not of the kind that belongs there, at line 1 column 15"),
            ("[]", "a value is not of the kind that belongs there, at line 1 column 2"),
            (r#"{"version": 1}"#, "the field `tensors` is missing, at line 1 column 14"),
            (r#"{"versoin": 1}"#, "there is no field `versoin`, at line 1 column 10"),
        ] {
            assert_eq!(words::<Form>(text.as_bytes()), says);
        }
    }
}
