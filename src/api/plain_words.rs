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

/// Why the parameters of a query are not those of a request.
pub(super) fn of_query(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
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

#[cfg(test)]
mod tests {
    use axum::{extract::Query, http::Uri};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Params {
        of: Kind,
        #[serde(default)]
        limit: u32,
        #[serde(default)]
        whole: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Large,
        Small,
    }

    #[test]
    fn parameters_that_do_not_fit_are_named_in_plain_words() {
        for (query, says) in [
            ("", "the field `of` is required"),
            ("of=large&of=small", "the field `of` stands twice"),
            ("of=tiny", "`of`: there is no choice `tiny`; there is `large` or `small`"),
            ("of=large&limit=many", "`limit`: expected a number in its range"),
            ("of=large&limit=-1", "`limit`: expected a number in its range"),
            ("of=large&whole=perhaps", "`whole`: expected true or false"),
            ("of=large&lmit=1", "`lmit`: there is no field `lmit`; there is `of`, `limit`, `whole`"),
        ] {
            let uri: Uri = format!("/jobs?{query}").parse().unwrap();
            let error = Query::<Params>::try_from_uri(&uri).unwrap_err();
            assert_eq!(of_query(&error.body_text()), says, "{query}");
        }
        assert_eq!(of_query("no such event: `x`"), "no such event: `x`", "what we say ourselves stays");
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
