//! `/v1/jobs/{id}/artifacts`: list and download.

use std::ops::Range;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    conditional::has,
    error::ApiError,
    extract::PathParams,
    path_job::PathJob,
    problem::Problem,
    state::ApiState,
    views::{self, ArtifactView},
};
use crate::job::{Job, JobResult, StoredArtifact};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(download))
}

/// The files of a job that succeeded.
#[derive(Debug, Serialize, ToSchema)]
struct ArtifactList {
    /// The files, the manifest last; empty until the job has succeeded, and after retention removed them.
    artifacts: Vec<ArtifactView>,
}

/// List a job's files.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts", operation_id = "list_artifacts", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The files.", body = ArtifactList),
        (status = 404, description = "There is no such job.", body = Problem),
    ))]
async fn list(PathJob(job): PathJob) -> Json<ArtifactList> {
    Json(ArtifactList { artifacts: views::artifacts(&job) })
}

/// Download a file, or a range of its bytes.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts/{name}", operation_id = "download_artifact", tag = "results", params(
    ("id" = String, Path, description = "The job's id."),
    ("name" = String, Path, description = "The file's name."),
    ("Range" = inline(Option<String>), Header, nullable = false, example = "bytes=0-1023",
     description = "One range of bytes; more than one gives the whole file."),
    ("If-None-Match" = inline(Option<String>), Header, nullable = false, description = "The version that the client has."),
), responses(
    (status = 200, description = "The file's bytes.", body = Vec<u8>, content_type = "application/octet-stream",
     headers(("ETag" = String, description = "The file's SHA-256."), ("Repr-Digest" = String, description = "The same."))),
    (status = 206, description = "The bytes of the range.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 304, description = "The client has this file."),
    (status = 307, description = "The file is at the store, which takes this URL for a while.",
     headers(("Location" = String, description = "The URL."))),
    (status = 404, description = "There is no such job or file.", body = Problem),
    (status = 409, description = "The job has not succeeded.", body = Problem),
    (status = 416, description = "The range is beyond the file's end.", body = Problem),
))]
async fn download(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
    PathParams((_, name)): PathParams<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let result = result(&job, "the file")?;
    let stored = stored(result, &name)?;
    let artifact = &stored.artifact;
    let sha256 = artifact.sha256.as_deref().unwrap_or_default();
    let tag = format!("\"{sha256}\"");
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| ApiError::Internal);
    let disposition = disposition(&artifact.name);
    let mut head = HeaderMap::from_iter([
        // Whatever it is: a part of JSON is no JSON, and generated clients would parse what they are to store.
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::ETAG, value(&tag)?),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CONTENT_DISPOSITION, value(&disposition)?),
        // An artifact never changes, so clients may cache it for as long as they like.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
    ]);
    if let Some(digest) = repr_digest(sha256) {
        head.insert("repr-digest", value(&digest)?);
    }
    if has(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    if let Some(url) = state.artifacts.link(&result.key(stored), &artifact.name).await? {
        // The URL is good for a while only, and so is this answer.
        let head = [(header::LOCATION, value(&url)?), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        return Ok((StatusCode::TEMPORARY_REDIRECT, head).into_response());
    }
    // With a range of another version a download cannot be resumed.
    let same = headers.get(header::IF_RANGE).is_none_or(|wanted| wanted.as_bytes() == tag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
    let range = range.map(|text| part(text, artifact.size)).transpose()?.flatten();
    let length = range.as_ref().map_or(artifact.size, |range| range.end - range.start);
    head.insert(header::CONTENT_LENGTH, length.into());
    let status = match &range {
        Some(Range { start, end }) => {
            head.insert(header::CONTENT_RANGE, value(&format!("bytes {start}-{}/{}", end - 1, artifact.size))?);
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    let body = state.artifacts.read(&result.key(stored), range).await?;
    Ok((status, head, Body::from_stream(body)).into_response())
}

/// The result of a job that has one.
pub(super) fn result<'a>(job: &'a Job, what: &'static str) -> Result<&'a JobResult, ApiError> {
    if job.artifacts_expired_at.is_some() {
        return Err(ApiError::NotFound { what: "such file any more: the job's files have expired" });
    }
    job.result.as_ref().ok_or(ApiError::NotReady { what, status: job.status.name() })
}

/// An artifact by name: only names that the job lists exist, so none can lead elsewhere.
pub(super) fn stored<'a>(result: &'a JobResult, name: &str) -> Result<&'a StoredArtifact, ApiError> {
    let found = result.artifacts.iter().find(|stored| stored.artifact.name == name);
    found.ok_or(ApiError::NotFound { what: "such file" })
}

/// The bytes that a `Range` field names (RFC 9110, section 14). `None`: it is to be ignored.
fn part(text: &str, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Ok(None),
    };
    if range.is_empty() { Err(ApiError::Range { size }) } else { Ok(Some(range)) }
}

/// A digest in hexadecimal as `Repr-Digest` has it (RFC 9530).
fn repr_digest(sha256: &str) -> Option<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let pairs = sha256.as_bytes().as_chunks::<2>().0.iter();
    let bytes =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect::<Option<Vec<u8>>>()?;
    (bytes.len() == 32).then(|| format!("sha-256=:{}:", STANDARD.encode(bytes)))
}

/// The name that clients save a file under: in ASCII, and, where that is not all of it, as it is (RFC 6266). A shard's name is
/// the model's.
fn disposition(name: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ';
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if name.is_ascii() {
        return format!("attachment; filename=\"{ascii}\"");
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let encoded: String = name
        .bytes()
        .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_the_standard_says() {
        let ok = |text| part(text, 10).unwrap();
        assert_eq!(ok("bytes=0-3"), Some(0..4));
        assert_eq!(ok("bytes=3-"), Some(3..10));
        assert_eq!(ok("bytes=-3"), Some(7..10));
        assert_eq!(ok("bytes=-30"), Some(0..10));
        assert_eq!(ok("bytes=3-99"), Some(3..10));
        for ignored in ["bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=x-y", "bytes=-"] {
            assert_eq!(ok(ignored), None, "{ignored}");
        }
        for beyond in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
            assert!(matches!(part(beyond, 10), Err(ApiError::Range { size: 10 })), "{beyond}");
        }
        assert!(part("bytes=0-", 0).is_err());
    }

    #[test]
    fn a_digest_is_written_as_bytes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(repr_digest(empty).unwrap(), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(repr_digest("xy"), None);
    }

    #[test]
    fn a_name_is_one_header_whatever_is_in_it() {
        assert_eq!(disposition("model.onnx"), "attachment; filename=\"model.onnx\"");
        assert_eq!(disposition("a\"b\r\nc: d"), "attachment; filename=\"a_b__c: d\"");
        assert_eq!(disposition("gewichte-ä"), "attachment; filename=\"gewichte-_\"; filename*=UTF-8''gewichte-%C3%A4");
    }
}
