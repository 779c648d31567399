//! `/v1/uploads`: files brought to the service itself, for those who have no bucket to share with it.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::{Reader, Writer},
    error::ApiError,
    extract::PathParams,
    problem::Problem,
    state::ApiState,
};
use crate::{
    digest::hex,
    fault::{FaultCode, chain},
    job::{Failure, NewUpload, Upload, UploadError},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, delete))
}

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
struct UploadView {
    /// Its name, with that of its folder before it if it is in one.
    name: String,
    /// What a job calls it. A folder of uploads is called by its own name: `upload://folder/`.
    uri: String,
    /// Its size in bytes.
    size: u64,
    /// Its SHA-256 in hexadecimal; null in lists.
    sha256: Option<String>,
    /// When it came, in milliseconds since 1970; null in the answer to the upload.
    uploaded_at: Option<i64>,
}

impl From<Upload> for UploadView {
    fn from(upload: Upload) -> Self {
        let Upload { name, size, sha256, modified } = upload;
        UploadView { uri: format!("upload://{name}"), name, size, sha256, uploaded_at: modified }
    }
}

/// All uploads of the tenant.
#[derive(Debug, Serialize, ToSchema)]
struct UploadList {
    /// The files, sorted by name.
    uploads: Vec<UploadView>,
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match &error {
            UploadError::NotFound => ApiError::NotFound { what: "such upload" },
            UploadError::Name => invalid_name(),
            UploadError::FileAndFolder { name } => ApiError::FileAndFolder { name: name.clone() },
            UploadError::Empty => ApiError::Failed(Box::new(
                Failure::plain(FaultCode::EmptyUpload, error.to_string()).with_hint("send the file as the body"),
            )),
            UploadError::TooLarge { .. } => ApiError::TooLarge,
            UploadError::Quota(exceeded) => ApiError::Exceeded(*exceeded),
            UploadError::NoRoom { .. } => {
                let failure = Failure::plain(FaultCode::DiskFull, error.to_string());
                ApiError::Failed(Box::new(
                    failure.with_hint("delete uploads and jobs that are done with, or try later"),
                ))
            }
            UploadError::Digest { .. } => {
                let failure = Failure::plain(FaultCode::DigestMismatch, error.to_string());
                ApiError::Failed(Box::new(failure.with_hint("send the file again; the digest is that of its bytes")))
            }
            UploadError::Broken(_) => ApiError::Malformed { detail: chain(&error) },
            UploadError::Store(_) => {
                tracing::error!(error = chain(&error), "an upload could not be stored");
                ApiError::Unavailable { what: "artifact store" }
            }
        }
    }
}

fn invalid_name() -> ApiError {
    let message = "a name has up to four parts between slashes, each of 1 to 100 letters, digits, dots, dashes or \
                   underscores, and none begins with a dot";
    ApiError::Failed(Box::new(Failure::plain(FaultCode::InvalidName, message)))
}

/// A name that is safe as a key anywhere.
fn check(name: &str) -> Result<(), ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let part = |part: &str| (1..=100).contains(&part.len()) && part.bytes().all(plain) && !part.starts_with('.');
    let valid = name.split('/').count() <= 4 && name.split('/').all(part);
    valid.then_some(()).ok_or_else(invalid_name)
}

/// Upload a file.
///
/// It is stored as it arrives, under its name, whatever was there before; jobs refer to it as `upload://name`. A `%2F` in the
/// name puts it into a folder, so that a model of several files can be uploaded.
#[utoipa::path(put, path = "/v1/uploads/{name}", operation_id = "put_upload", tag = "uploads", params(
    ("name" = String, Path, description = "The file's name.", pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"),
    ("Repr-Digest" = inline(Option<String>), Header, nullable = false, pattern = r"^sha-256=:[A-Za-z0-9+/]{43}=:$",
     example = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
     description = "The file's SHA-256 (RFC 9530): an upload with another digest is refused."),
), request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file's bytes."), responses(
    (status = 201, description = "The file is stored.", body = UploadView),
    (status = 400, description = "The upload broke off.", body = Problem),
    (status = 409, description = "The name is that of a folder of uploads, or its folder's name that of a file.", body = Problem),
    (status = 403, description = "The tenant's uploads have used up their quota.", body = Problem),
    (status = 413, description = "The file is larger than the server takes.", body = Problem),
    (status = 422, description = "The name or the digest is not acceptable.", body = Problem),
))]
async fn put(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams(name): PathParams<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<UploadView>), ApiError> {
    check(&name)?;
    let limit = state.largest_upload;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge);
    }
    let sha256 = headers.get("repr-digest").or_else(|| headers.get("content-digest")).map(|value| {
        let digest = value.to_str().ok().and_then(digest);
        let unreadable = "the digest is not `sha-256=:…:` (RFC 9530)";
        digest.ok_or_else(|| ApiError::Failed(Box::new(Failure::plain(FaultCode::InvalidDigest, unreadable))))
    });
    let new = NewUpload { name, limit, quota: state.quotas.upload_bytes, sha256: sha256.transpose()? };
    let body = Box::pin(body.into_data_stream().map_err(std::io::Error::other));
    let stored = state.uploads.put(writer.tenant(), new, body).await?;
    Ok((StatusCode::CREATED, Json(stored.into())))
}

/// List uploads.
#[utoipa::path(get, path = "/v1/uploads", operation_id = "list_uploads", tag = "uploads", responses(
    (status = 200, description = "The uploads.", body = UploadList),
))]
async fn list(State(state): State<ApiState>, reader: Reader) -> Result<Json<UploadList>, ApiError> {
    let uploads = state.uploads.list(reader.tenant()).await?;
    Ok(Json(UploadList { uploads: uploads.into_iter().map(UploadView::from).collect() }))
}

/// Remove an upload.
///
/// Jobs that have not read it yet will fail.
#[utoipa::path(delete, path = "/v1/uploads/{name}", operation_id = "delete_upload", tag = "uploads", params(
    ("name" = String, Path, description = "The file's name."),
), responses(
    (status = 204, description = "It is gone."),
    (status = 404, description = "There is no such upload.", body = Problem),
))]
async fn delete(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams(name): PathParams<String>,
) -> Result<StatusCode, ApiError> {
    check(&name).map_err(|_| ApiError::NotFound { what: "such upload" })?;
    state.uploads.delete(writer.tenant(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The SHA-256 of a digest field, in hexadecimal.
fn digest(field: &str) -> Option<String> {
    let value = field.split(',').find_map(|one| one.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))?;
    let bytes = STANDARD.decode(value).ok()?;
    (bytes.len() == 32).then(|| hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["a", "model.onnx", "llama/model-00001-of-00002.safetensors", "a/b/c/d"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/../b", "a//b", "/a", "a/", "a/b/c/d/e", ".hidden", "a b", "a\\b", "ä"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_field_is_read() {
        let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!(digest(empty).unwrap(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(digest(&format!("md5=:AAAA:, {empty}")).is_some());
        for wrong in ["", "sha-256=", "sha-256=:AAAA:", "sha-256=:?:"] {
            assert_eq!(digest(wrong), None);
        }
    }
}
