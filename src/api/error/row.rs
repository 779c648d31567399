//! The one table of status codes.

use axum::http::StatusCode;

use super::ApiError;
use crate::{
    fault::{Entry, codes, entries_with},
    job::Exceeded,
};

/// How an error is answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Row {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
}

const fn row(status: StatusCode, title: &'static str, retryable: bool) -> Row {
    Row { status, title, retryable }
}

codes! {
    /// What an answer's `code` says, unless it is that of a failure.
    pub(in crate::api) enum ProblemCode: Row {
        /// Too many wrong keys or tokens came from this address.
        AuthenticationThrottled("authentication_throttled", "Ask again after the time in `Retry-After`, with a key that is right.", row(StatusCode::TOO_MANY_REQUESTS, "Authentication throttled", true));
        /// The body did not come, or too slowly.
        BodyTimeout("body_timeout", "Send the body without pauses; the operator sets its pace with `--body-timeout-seconds` and `--body-bytes-per-second`.", row(StatusCode::REQUEST_TIMEOUT, "Body timeout", true));
        /// The body is larger than a job, or an upload, may be.
        BodyTooLarge("body_too_large", "Send less, or let the operator raise the limit.", row(StatusCode::PAYLOAD_TOO_LARGE, "Body too large", false));
        /// A page of another site may not change anything here.
        CrossSite("cross_site", "Ask from a page of the service, or from a program; the operator allows others with `--cors-origin`.", row(StatusCode::FORBIDDEN, "Cross-site request", false));
        /// The server is about to stop.
        Draining("draining", "Ask again after the time in `Retry-After`: another server, or this one after its restart, answers.", row(StatusCode::SERVICE_UNAVAILABLE, "Draining", true));
        /// The key has not the scope that this needs.
        Forbidden("forbidden", "Use a key with the scope that the message names.", row(StatusCode::FORBIDDEN, "Forbidden", false));
        /// A server that needs no key was asked by a name that is not its own.
        HostNotAllowed("host_not_allowed", "Ask for `localhost`; the operator adds names with `--allow-host`.", row(StatusCode::MISDIRECTED_REQUEST, "Host not allowed", false));
        /// Another request had this idempotency key.
        IdempotencyKeyReused("idempotency_key_reused", "Use a new key for a new request, and the same key only for the same body.", row(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused", false));
        /// An error of this program.
        InternalError("internal_error", "Report it, with the server's log under the request's id.", row(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", true));
        /// The request can be read and cannot be carried out.
        InvalidJob("invalid_job", "Mend what `errors` points at; everything is listed at once.", row(StatusCode::UNPROCESSABLE_ENTITY, "Invalid job", false));
        /// The body or the query cannot be read.
        MalformedRequest("malformed_request", "See in `detail` where it breaks off.", row(StatusCode::BAD_REQUEST, "Malformed request", false));
        /// The path does not take this method.
        MethodNotAllowed("method_not_allowed", "See the API document for the methods of the path.", row(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", false));
        /// Another job has the name.
        NameTaken("name_taken", "Choose another name; names are unique.", row(StatusCode::CONFLICT, "Name taken", false));
        /// There is no such thing, or none that this tenant may see.
        NotFound("not_found", "See whether the id or the name is right.", row(StatusCode::NOT_FOUND, "Not found", false));
        /// It is not there yet, or never will be.
        NotReady("not_ready", "Wait until the job has succeeded.", row(StatusCode::CONFLICT, "Not ready", true));
        /// As many requests are worked on as may be at a time.
        Overloaded("overloaded", "Ask again after the time in `Retry-After`.", row(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", true));
        /// The job has changed since the version that `If-Match` names.
        PreconditionFailed("precondition_failed", "Read the job anew, and decide again.", row(StatusCode::PRECONDITION_FAILED, "Precondition failed", false));
        /// As many jobs of the tenant wait as may.
        QueueFull("queue_full", "Submit it again after the time in `Retry-After`, once others have begun; or cancel some that wait.", row(StatusCode::TOO_MANY_REQUESTS, "Queue full", true));
        /// The tenant's uploads or artifacts have as many bytes as they may.
        QuotaExceeded("quota_exceeded", "Delete uploads, or jobs with their artifacts, or let the operator raise the quota.", row(StatusCode::FORBIDDEN, "Quota exceeded", false));
        /// The file has no such range of bytes.
        RangeNotSatisfiable("range_not_satisfiable", "See in `Content-Range` how large the file is.", row(StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable", false));
        /// More requests came than this client may send.
        RateLimited("rate_limited", "Ask again after the time in `Retry-After`.", row(StatusCode::TOO_MANY_REQUESTS, "Too many requests", true));
        /// The answer was not ready in time.
        RequestTimeout("request_timeout", "Ask again after the time in `Retry-After`.", row(StatusCode::SERVICE_UNAVAILABLE, "Request timeout", true));
        /// A job in its state cannot be changed so.
        StateConflict("state_conflict", "See in `detail` which state it would have to be in.", row(StatusCode::CONFLICT, "State conflict", false));
        /// This client's tenant has as many requests in hand as it may.
        TooManyAtOnce("too_many_at_once", "Wait for an answer, or end a download, before you ask again.", row(StatusCode::TOO_MANY_REQUESTS, "Too many at once", true));
        /// This client follows as many streams of events as it may.
        TooManyStreams("too_many_streams", "Close a stream, or read events as pages with `after`.", row(StatusCode::TOO_MANY_REQUESTS, "Too many streams", true));
        /// There is no key, or not one that is known.
        Unauthorized("unauthorized", "Send `Authorization: Bearer` with a key that is not revoked.", row(StatusCode::UNAUTHORIZED, "Unauthorized", false));
        /// The database or the artifact store does not answer, or a plan could not be made for the moment.
        Unavailable("unavailable", "Ask again after the time in `Retry-After`.", row(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", true));
        /// The body is not JSON by its own account.
        UnsupportedMediaType("unsupported_media_type", "Send `Content-Type: application/json`.", row(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", false));
        /// A file and a folder of uploads would have the same name.
        UploadNameConflict("upload_name_conflict", "Give the file another name, or remove what has the name.", row(StatusCode::CONFLICT, "Upload name conflict", false));
        /// The path and the query are too long.
        UriTooLong("uri_too_long", "Send what is long in the body.", row(StatusCode::URI_TOO_LONG, "URI too long", false));
    }
}

/// Every code that an answer of its own can have, sorted by name.
pub fn problem_codes() -> Vec<Entry> {
    entries_with(|code: ProblemCode| Entry {
        status: Some(code.facts().status.as_u16()),
        retryable: Some(code.facts().retryable),
        ..code.into()
    })
}

impl ApiError {
    /// The HTTP status, as the row of the error's code has it.
    pub(in crate::api) fn status(&self) -> StatusCode {
        self.code().facts().status
    }

    pub(super) fn code(&self) -> ProblemCode {
        match self {
            ApiError::Malformed { .. } => ProblemCode::MalformedRequest,
            ApiError::MediaType => ProblemCode::UnsupportedMediaType,
            ApiError::TooLarge => ProblemCode::BodyTooLarge,
            ApiError::UriTooLong => ProblemCode::UriTooLong,
            ApiError::Invalid(_) => ProblemCode::InvalidJob,
            ApiError::NotFound { .. } => ProblemCode::NotFound,
            ApiError::NotReady { .. } => ProblemCode::NotReady,
            ApiError::Unauthorized { .. } => ProblemCode::Unauthorized,
            ApiError::Forbidden { .. } => ProblemCode::Forbidden,
            ApiError::KeyReused => ProblemCode::IdempotencyKeyReused,
            ApiError::NameTaken { .. } => ProblemCode::NameTaken,
            ApiError::FileAndFolder { .. } => ProblemCode::UploadNameConflict,
            ApiError::Refused { .. } => ProblemCode::StateConflict,
            ApiError::Stale => ProblemCode::PreconditionFailed,
            ApiError::Range { .. } => ProblemCode::RangeNotSatisfiable,
            ApiError::RateLimited { .. } => ProblemCode::RateLimited,
            ApiError::Throttled { .. } => ProblemCode::AuthenticationThrottled,
            ApiError::Streams => ProblemCode::TooManyStreams,
            ApiError::Answers => ProblemCode::TooManyAtOnce,
            ApiError::Slow => ProblemCode::BodyTimeout,
            ApiError::Host => ProblemCode::HostNotAllowed,
            ApiError::CrossSite => ProblemCode::CrossSite,
            ApiError::Exceeded(Exceeded::QueuedJobs { .. }) => ProblemCode::QueueFull,
            ApiError::Exceeded(_) => ProblemCode::QuotaExceeded,
            ApiError::Overloaded => ProblemCode::Overloaded,
            ApiError::TimedOut => ProblemCode::RequestTimeout,
            ApiError::Draining => ProblemCode::Draining,
            // The answer has the failure's own code; this one gives its status and title.
            ApiError::Failed(failure) if !failure.retryable => ProblemCode::InvalidJob,
            ApiError::Failed(_) | ApiError::Unavailable { .. } => ProblemCode::Unavailable,
            ApiError::Method => ProblemCode::MethodNotAllowed,
            ApiError::Internal => ProblemCode::InternalError,
        }
    }
}
