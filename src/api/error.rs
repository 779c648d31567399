//! [`ApiError`]: the only table of status codes.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    limits::seconds,
    problem::{Problem, ProblemError},
};
use crate::{
    fault::chain,
    job::{ArtifactError, Failure, StoreError},
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
    /// The path and the query are too long.
    #[error("path and query are longer than a request's may be")]
    UriTooLong,
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
    /// Nobody whom we know.
    #[error("{why}")]
    Unauthorized {
        /// Why.
        why: String,
    },
    /// Somebody who may not do this.
    #[error("this needs the scope `{scope}`")]
    Forbidden {
        /// What it needs.
        scope: &'static str,
    },
    /// The idempotency key of another request.
    #[error("another request had this idempotency key; a new request needs a new key")]
    KeyReused,
    /// The name of another job.
    #[error("the job {id} has this name already; names are unique")]
    NameTaken {
        /// The job.
        id: String,
    },
    /// A job that stands like this cannot be changed so.
    #[error("the job is {status}; {needed}")]
    Refused {
        /// How it stands.
        status: &'static str,
        /// How it would have to stand.
        needed: &'static str,
    },
    /// The job has changed since the client looked.
    #[error("the job has changed since the version that If-Match names")]
    Stale,
    /// No such part of the file.
    #[error("the file has {size} bytes, and the range is not among them")]
    Range {
        /// The file's size.
        size: u64,
    },
    /// Too many requests.
    #[error("too many requests; more are welcome after the time in Retry-After")]
    RateLimited {
        /// How long to wait.
        wait: Duration,
    },
    /// The process goes away.
    #[error("this server is about to stop; another one, or it itself after a restart, takes requests")]
    Draining,
    /// The database or the artifact store does not answer.
    #[error("the {what} does not answer at the moment")]
    Unavailable {
        /// What does not answer.
        what: &'static str,
    },
    /// A failure of the pipeline, found while a client waits.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
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
            ApiError::UriTooLong => Row(StatusCode::URI_TOO_LONG, "uri_too_long", "URI too long", false),
            ApiError::Invalid(_) => Row(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "Invalid job", false),
            ApiError::NotFound { .. } => Row(StatusCode::NOT_FOUND, "not_found", "Not found", false),
            ApiError::NotReady { .. } => Row(StatusCode::CONFLICT, "not_ready", "Not ready", true),
            ApiError::Unauthorized { .. } => Row(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", false),
            ApiError::Forbidden { .. } => Row(StatusCode::FORBIDDEN, "forbidden", "Forbidden", false),
            ApiError::KeyReused => {
                Row(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused", false)
            }
            ApiError::NameTaken { .. } => Row(StatusCode::CONFLICT, "name_taken", "Name taken", false),
            ApiError::Refused { .. } => Row(StatusCode::CONFLICT, "state_conflict", "State conflict", false),
            ApiError::Stale => {
                Row(StatusCode::PRECONDITION_FAILED, "precondition_failed", "Precondition failed", false)
            }
            ApiError::Range { .. } => {
                Row(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "Range not satisfiable", false)
            }
            ApiError::RateLimited { .. } => {
                Row(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests", true)
            }
            ApiError::Draining => Row(StatusCode::SERVICE_UNAVAILABLE, "draining", "Draining", true),
            ApiError::Unavailable { .. } => Row(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", true),
            // The user's fault, told with the failure's own code.
            ApiError::Failed(failure) if !failure.retryable => {
                Row(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "Invalid job", false)
            }
            ApiError::Failed(_) => Row(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", true),
            ApiError::Method => Row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", false),
            ApiError::Internal => Row(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", true),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Row(status, mut code, title, retryable) = self.row();
        let detail = self.to_string();
        let errors = match &self {
            ApiError::Invalid(objections) => objections.iter().map(ProblemError::from).collect(),
            ApiError::Failed(failure) => {
                code = &failure.code;
                match failure.errors.as_slice() {
                    [] => vec![ProblemError::from(failure.as_ref())],
                    errors => errors.iter().map(ProblemError::from).collect(),
                }
            }
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
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        match &self {
            ApiError::Unauthorized { .. } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ptqd\""));
            }
            ApiError::RateLimited { wait } => {
                headers.insert(header::RETRY_AFTER, seconds(*wait).into());
            }
            ApiError::Draining | ApiError::Unavailable { .. } => {
                headers.insert(header::RETRY_AFTER, 5.into());
            }
            ApiError::Range { size } => {
                headers.insert(
                    header::CONTENT_RANGE,
                    HeaderValue::from_str(&format!("bytes */{size}")).unwrap_or(0.into()),
                );
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "the job store failed");
        match error {
            StoreError::Database(_) => ApiError::Unavailable { what: "database" },
            StoreError::Corrupt { .. } => ApiError::Internal,
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Gone { .. } => ApiError::NotFound { what: "such artifact any more" },
            error @ ArtifactError::Store(_) => {
                tracing::error!(error = chain(&error), "the artifact store failed");
                ApiError::Unavailable { what: "artifact store" }
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
