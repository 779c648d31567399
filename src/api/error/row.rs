//! The one table of status codes.

use axum::http::StatusCode;

use super::ApiError;

/// How an error is answered.
pub(super) struct Row {
    pub(super) status: StatusCode,
    /// The stable code.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
}

const fn row(status: StatusCode, code: &'static str, title: &'static str, retryable: bool) -> Row {
    Row { status, code, title, retryable }
}

impl ApiError {
    /// The HTTP status.
    pub(in crate::api) fn status(&self) -> StatusCode {
        self.row().status
    }

    pub(super) fn row(&self) -> Row {
        match self {
            ApiError::Malformed { .. } => row(StatusCode::BAD_REQUEST, "malformed_request", "Malformed request", false),
            ApiError::MediaType => {
                row(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type", false)
            }
            ApiError::TooLarge => row(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", false),
            ApiError::UriTooLong => row(StatusCode::URI_TOO_LONG, "uri_too_long", "URI too long", false),
            ApiError::Invalid(_) => row(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "Invalid job", false),
            ApiError::NotFound { .. } => row(StatusCode::NOT_FOUND, "not_found", "Not found", false),
            ApiError::NotReady { .. } => row(StatusCode::CONFLICT, "not_ready", "Not ready", true),
            ApiError::Unauthorized { .. } => row(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", false),
            ApiError::Forbidden { .. } => row(StatusCode::FORBIDDEN, "forbidden", "Forbidden", false),
            ApiError::KeyReused => {
                row(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused", false)
            }
            ApiError::NameTaken { .. } => row(StatusCode::CONFLICT, "name_taken", "Name taken", false),
            ApiError::Refused { .. } => row(StatusCode::CONFLICT, "state_conflict", "State conflict", false),
            ApiError::Stale => {
                row(StatusCode::PRECONDITION_FAILED, "precondition_failed", "Precondition failed", false)
            }
            ApiError::Range { .. } => {
                row(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "Range not satisfiable", false)
            }
            ApiError::RateLimited { .. } => {
                row(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests", true)
            }
            ApiError::Overloaded => row(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", true),
            ApiError::TimedOut => row(StatusCode::SERVICE_UNAVAILABLE, "request_timeout", "Request timeout", true),
            ApiError::Draining => row(StatusCode::SERVICE_UNAVAILABLE, "draining", "Draining", true),
            ApiError::Unavailable { .. } => row(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", true),
            // The user's fault; the answer has the failure's own code.
            ApiError::Failed(failure) if !failure.retryable => {
                row(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", "Invalid job", false)
            }
            ApiError::Failed(_) => row(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", true),
            ApiError::Method => row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", false),
            ApiError::Internal => row(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", true),
        }
    }
}
