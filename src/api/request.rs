//! Bodies of requests: their size, their JSON, and patches to it.

use axum::{
    body::Bytes,
    extract::rejection::{BytesRejection, FailedToBufferBody},
    http::{HeaderMap, header},
};
use serde_json::Value;

use super::{error::ApiError, middleware::too_slow, plain_words};

/// The JSON of a body that says it is JSON.
pub(super) fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Value, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type != "application/json" && media_type != "application/merge-patch+json" {
        return Err(ApiError::MediaType);
    }
    let body = body.map_err(unread)?;
    let mut json = serde_json::from_slice(&body)
        .map_err(|error| ApiError::Malformed { detail: plain_words::of_json(&body, &error) })?;
    whole_numbers(&mut json);
    Ok(json)
}

/// Why a body could not be read: it is too large, it did not come, or the client went away.
fn unread(error: BytesRejection) -> ApiError {
    if too_slow(&error) {
        return ApiError::Slow;
    }
    match error {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::UnknownBodyError(_)) => {
            ApiError::Malformed { detail: "the body broke off".to_owned() }
        }
        _ => ApiError::TooLarge,
    }
}

/// `3.0` is an integer in JSON, and clients send it.
fn whole_numbers(json: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match json {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|x| number.is_f64() && x.fract() == 0.0 && x.abs() < EXACT);
            if let Some(whole) = whole {
                *json = Value::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub(super) fn merge(json: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *json = patch;
        return;
    };
    if !json.is_object() {
        *json = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = json.as_object_mut() else { return };
    for (key, value) in patch {
        match value {
            Value::Null => drop(fields.shift_remove(&key)),
            value => merge(fields.entry(key).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merge_patches_do_what_the_standard_says() {
        for (mut original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut original, patch);
            assert_eq!(original, result);
        }
    }

    #[test]
    fn whole_floats_are_integers() {
        let mut json = json!({"a": [3.0, 0.5], "b": 1e300, "c": -2.0});
        whole_numbers(&mut json);
        assert_eq!(json.to_string(), r#"{"a":[3,0.5],"b":1e+300,"c":-2}"#);
    }
}
