//! [`ApiError`]: the only table of status codes.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::problem::{Problem, ProblemError};
use crate::{
    fault::chain,
    job::{ArtifactError, StoreError},
    spec::Objection,
};

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The body or the query cannot be read.
    #[error("{detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
        /// Where, if that is known.
        pointer: Option<String>,
    },
    /// The body is not JSON by its own account.
    #[error("the body must be application/json")]
    MediaType,
    /// The body is too large.
    #[error("the body is larger than a job may be")]
    TooLarge,
    /// The request can be read and cannot be carried out.
    #[error("the job cannot be carried out as it is described")]
    Invalid(Vec<Objection>),
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// It is not there yet, or will never be.
    #[error("the job is {status}; {what} is there once it has succeeded")]
    NotReady {
        /// What was asked for.
        what: &'static str,
        /// How the job stands.
        status: &'static str,
    },
    /// The path does not take this method.
    #[error("this path does not take this method")]
    Method,
    /// An error of ours.
    #[error("an error of ours; the server's log has more under the request's id")]
    Internal,
}

/// Status, stable code, title, and whether trying again may help.
struct Row(StatusCode, &'static str, &'static str, bool);

impl ApiError {
    fn row(&self) -> Row {
        match self {
            ApiError::Malformed { .. } => Row(StatusCode::BAD_REQUEST, "malformed_request", "Malformed request", false),
            ApiError::MediaType => {
                Row(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type", false)
            }
            ApiError::TooLarge => Row(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", false),
            ApiError::Invalid(_) => Row(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "Invalid job", false),
            ApiError::NotFound { .. } => Row(StatusCode::NOT_FOUND, "not_found", "Not found", false),
            ApiError::NotReady { .. } => Row(StatusCode::CONFLICT, "not_ready", "Not ready", true),
            ApiError::Method => Row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", false),
            ApiError::Internal => Row(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", true),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Row(status, code, title, retryable) = self.row();
        let detail = self.to_string();
        let errors = match &self {
            ApiError::Invalid(objections) => objections.iter().map(ProblemError::from).collect(),
            ApiError::Malformed { pointer: Some(pointer), .. } => vec![ProblemError {
                pointer: pointer.clone(),
                code: code.to_owned(),
                message: detail.clone(),
                hint: None,
                allowed: Vec::new(),
            }],
            _ => Vec::new(),
        };
        let problem = Problem {
            kind: format!("urn:ptqd:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            instance: String::new(),
            code: code.to_owned(),
            request_id: String::new(),
            retryable,
            errors,
        };
        problem.into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "the job store failed");
        ApiError::Internal
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Gone { .. } => ApiError::NotFound { what: "such artifact any more" },
            error @ ArtifactError::Store(_) => {
                tracing::error!(error = chain(&error), "the artifact store failed");
                ApiError::Internal
            }
        }
    }
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::NotFound { what: "such path" }
}

pub(super) async fn no_such_method() -> ApiError {
    ApiError::Method
}

pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::Internal.into_response()
}
