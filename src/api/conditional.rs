//! Entity tags: `ETag`, `If-None-Match`, `If-Match`.

use axum::http::{HeaderMap, HeaderValue, header};

use super::error::ApiError;
use crate::job::Job;

/// The tag of a job as it is now.
pub(super) fn tag(job: &Job) -> HeaderValue {
    // A number in quotes is always a valid value.
    HeaderValue::from_str(&format!("\"{}\"", job.version)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The version that `If-Match` wants. `None`: any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok("*") => Ok(None),
        // Whatever is no tag of ours matches nothing.
        Ok(text) => version(text).map(Some).ok_or(ApiError::Stale),
        Err(_) => Err(ApiError::Stale),
    }
}

/// The version that the client has, if it is one of ours.
pub(super) fn if_none_match(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    text.split(',').find_map(|tag| version(tag.trim()))
}

fn version(tag: &str) -> Option<i64> {
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Whether `If-None-Match` names a tag or is `*`.
pub(super) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let Some(text) = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) else { return false };
    text.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_in_all_their_forms() {
        let with = |name, value: &str| HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
        assert_eq!(if_none_match(&with(header::IF_NONE_MATCH, "\"x\", W/\"7\"")), Some(7));
        assert_eq!(if_match(&with(header::IF_MATCH, "*")).unwrap(), None);
        assert_eq!(if_match(&with(header::IF_MATCH, "\"7\"")).unwrap(), Some(7));
        assert!(matches!(if_match(&with(header::IF_MATCH, "7")), Err(ApiError::Stale)));
        assert!(has(&with(header::IF_NONE_MATCH, "\"ab\""), "\"ab\"") && !has(&HeaderMap::new(), "\"ab\""));
    }
}
