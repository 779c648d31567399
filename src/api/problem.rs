//! [`Problem`]: the body of every error (RFC 9457), finished where the request is known.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::spec::Objection;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProblemError {
    /// JSON pointer to the value in the request.
    #[schema(example = "/quantize/layers/0/weights/dtype")]
    pub(super) pointer: String,
    /// Stable name in snake case.
    #[schema(example = "unknown_dtype")]
    pub(super) code: String,
    /// The sentence for a person.
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) hint: Option<String>,
    /// The values that would have been accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) allowed: Vec<String>,
}

impl From<&Objection> for ProblemError {
    fn from(objection: &Objection) -> Self {
        ProblemError {
            pointer: objection.pointer.clone(),
            code: objection.code.name(),
            message: objection.message.clone(),
            hint: objection.hint.clone(),
            allowed: objection.allowed.clone(),
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// A URI for the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:ptqd:problem:invalid_job")]
    pub(super) kind: String,
    /// The kind in words.
    pub(super) title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub(super) status: u16,
    /// The sentence for a person.
    pub(super) detail: String,
    /// The path that was asked for.
    pub(super) instance: String,
    /// Stable name in snake case.
    #[schema(example = "invalid_job")]
    pub(super) code: String,
    /// The id of this request, also in the `x-request-id` header and the server's log.
    pub(super) request_id: String,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
    /// Everything that is wrong, at once.
    pub(super) errors: Vec<ProblemError>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every request an id and every response the headers it should have, and writes the problems' bodies.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = Uuid::now_v7().simple().to_string();
    let began = std::time::Instant::now();
    let mut response = next.run(request).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.instance.clone_from(&path);
        problem.request_id.clone_from(&id);
        if let Ok(body) = serde_json::to_vec(&problem) {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            let media_type = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            *response.body_mut() = Body::from(body);
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    tracing::info!(request_id = id, %method, path, status = response.status().as_u16(), took = ?began.elapsed(), "request");
    response
}
