//! What a deserializer says, in the words of JSON: its own are those of Rust's types.

use crate::fault::json_words;

/// Why text is not JSON, and where.
pub(super) fn of_json(body: &[u8], error: &serde_json::Error) -> String {
    if body.iter().all(u8::is_ascii_whitespace) {
        return "the body is empty, and JSON belongs there".to_owned();
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return "the body begins with a byte order mark, which JSON has none of: send it without".to_owned();
    }
    format!("the body is not JSON: {}", json_words(error))
}

/// Why the parameters of a query are not those of a request.
pub(super) fn of_query(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    match text.split_once(": ").filter(|(parameter, _)| !parameter.contains(' ')) {
        // It begins with the name that there is not, which the reason has too.
        Some((_, why)) if why.starts_with("unknown field") => reason(why),
        Some((parameter, why)) => format!("`{parameter}`: {}", reason(why)),
        None => reason(text),
    }
}

fn reason(text: &str) -> String {
    let quoted = |rest: &str| rest.split('`').nth(1).unwrap_or_default().to_owned();
    if text.starts_with("missing field") {
        return format!("the parameter `{}` is required", quoted(text));
    }
    if text.starts_with("duplicate field") {
        return format!("the parameter `{}` stands twice", quoted(text));
    }
    for (start, what) in [("unknown field", "parameter"), ("unknown variant", "choice")] {
        if text.starts_with(start) {
            let known = text.split_once("expected ").map(|(_, known)| known.trim_start_matches("one of "));
            let known = known.map(|known| format!("; there is {known}")).unwrap_or_default();
            return format!("there is no {what} `{}`{known}", quoted(text));
        }
    }
    match text {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "expected a whole number, without a sign where it cannot be negative".to_owned()
        }
        "number too large to fit in target type" => "the number is too large".to_owned(),
        "number too small to fit in target type" => "the number is too small".to_owned(),
        "invalid float literal" => "expected a number".to_owned(),
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
        const WHOLE: &str = "`limit`: expected a whole number, without a sign where it cannot be negative";
        for (query, says) in [
            ("", "the parameter `of` is required"),
            ("of=large&of=small", "the parameter `of` stands twice"),
            ("of=tiny", "`of`: there is no choice `tiny`; there is `large` or `small`"),
            ("of=large&limit=many", WHOLE),
            ("of=large&limit=-1", WHOLE),
            ("of=large&limit=5000000000", "`limit`: the number is too large"),
            ("of=large&whole=perhaps", "`whole`: expected true or false"),
            ("of=large&lmit=1", "there is no parameter `lmit`; there is `of`, `limit`, `whole`"),
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
        assert_eq!(said(r#"{"a": "#), "the body is not JSON: it ends too early, at line 1 column 6");
        assert_eq!(said("{}}"), "the body is not JSON: something stands behind its end, at line 1 column 3");
        assert!(said("\u{feff}{}").starts_with("the body begins with a byte order mark"));
    }
}
