//! [`Problem`]: the body of every error (RFC 9457). It travels beside an answer without a body; `middleware` writes it.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{job::Failure, spec::Objection};

/// The media type of a [`Problem`].
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

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
            code: objection.code.name().to_owned(),
            message: objection.message.clone(),
            hint: Some(objection.hint.clone()),
            allowed: objection.allowed.clone(),
        }
    }
}

/// A failure without a place in the request: of the file that it names, say.
impl From<&Failure> for ProblemError {
    fn from(failure: &Failure) -> Self {
        ProblemError {
            pointer: String::new(),
            code: failure.code.to_string(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            allowed: Vec::new(),
        }
    }
}

/// The body of every error's response: a problem document, as RFC 9457 has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// A URI for the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:ptqd:problem:invalid_job")]
    pub(super) kind: String,
    /// The kind in words.
    pub(super) title: String,
    /// The HTTP status, the same as that of the response.
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
