//! From an [`ApiError`] to the response: a problem document, its status and its headers.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::ApiError;
use crate::{
    api::problem::{Problem, ProblemError},
    job::Exceeded,
};

/// `Retry-After` where the service is busy, stopping or cannot reach what it depends on, in seconds.
const RETRY_SECONDS: u64 = 5;

/// `Retry-After` where jobs of the tenant must begin first, in seconds.
const QUEUE_SECONDS: u64 = 30;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let row = self.code().facts();
        let code = match &self {
            ApiError::Failed(failure) => &*failure.code,
            _ => self.code().name(),
        };
        let problem = Problem {
            kind: format!("urn:ptqd:problem:{code}"),
            title: row.title.to_owned(),
            status: row.status.as_u16(),
            detail: self.to_string(),
            errors: self.errors(),
            instance: String::new(),
            code: code.to_owned(),
            request_id: String::new(),
            retryable: row.retryable,
        };
        let mut response = problem.into_response();
        response.headers_mut().extend(self.header());
        response
    }
}

impl ApiError {
    /// Everything that is wrong with the request, each with its place.
    fn errors(&self) -> Vec<ProblemError> {
        match self {
            ApiError::Invalid(objections) => objections.iter().map(ProblemError::from).collect(),
            ApiError::Failed(failure) if failure.errors.is_empty() => vec![ProblemError::from(failure.as_ref())],
            ApiError::Failed(failure) => failure.errors.iter().map(ProblemError::from).collect(),
            _ => Vec::new(),
        }
    }

    /// The header that HTTP wants with some statuses.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            ApiError::Unauthorized { .. } => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ptqd\"")))
            }
            ApiError::RateLimited { wait } | ApiError::Throttled { wait } => {
                Some((header::RETRY_AFTER, whole_seconds(*wait).into()))
            }
            ApiError::Exceeded(Exceeded::QueuedJobs { .. }) => Some((header::RETRY_AFTER, QUEUE_SECONDS.into())),
            ApiError::Overloaded
            | ApiError::Streams
            | ApiError::Answers
            | ApiError::TimedOut
            | ApiError::Draining
            | ApiError::Unavailable { .. } => Some((header::RETRY_AFTER, RETRY_SECONDS.into())),
            ApiError::Range { size } => {
                let value = HeaderValue::from_str(&format!("bytes */{size}")).ok()?;
                Some((header::CONTENT_RANGE, value))
            }
            _ => None,
        }
    }
}

/// A wait in whole seconds, at least one, as `Retry-After` has it.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limited_response_has_the_wait_in_retry_after() {
        for (wait, seconds) in
            [(Duration::ZERO, "1"), (Duration::from_millis(1001), "2"), (Duration::from_secs(3), "3")]
        {
            let response = ApiError::RateLimited { wait }.into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn a_busy_server_answers_retryable_with_retry_after() {
        for error in [ApiError::Overloaded, ApiError::TimedOut, ApiError::Draining] {
            let response = error.into_response();
            assert!(response.extensions().get::<Problem>().unwrap().retryable);
            assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        }
    }
}
