//! [`Problem`]: the body of every error (RFC 9457), finished where the request is known.

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ApiState;
use crate::{job::Failure, spec::Objection};

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

/// A failure without a place in the request: of the file that it names, say.
impl From<&Failure> for ProblemError {
    fn from(failure: &Failure) -> Self {
        ProblemError {
            pointer: String::new(),
            code: failure.code.clone(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            allowed: Vec::new(),
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

/// The id that a client gave its request, if it is fit to be written into logs.
fn given_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=128).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

/// What every answer says to browsers: nothing is guessed, framed, or passed on.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
];

/// Gives every request an id and every response the headers it should have, writes the problems' bodies, and counts.
pub(super) async fn finish(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let id = given_id(&request).unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let began = std::time::Instant::now();
    let span = tracing::info_span!("request", request_id = id, %method, path);
    if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        (state.adopt)(&span, parent);
    }
    let mut response = next.run(request).instrument(span).await;
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
    let status = response.status().as_u16();
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, value);
    }
    if path.starts_with("/v1/") {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    (state.answered)(method.as_str(), route.as_deref().unwrap_or("none"), status, began.elapsed());
    tracing::info!(request_id = id, %method, path, status, took = ?began.elapsed(), "request");
    response
}
