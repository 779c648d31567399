//! `/v1/jobs/{id}`: cancel, retry, delete.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Writer,
    admission::{admit, new_job, read},
    conditional::{if_match, tag},
    error::ApiError,
    extract::PathParams,
    path_job::{PathJob, parse},
    problem::Problem,
    request::{self, merge},
    state::ApiState,
    views::JobView,
};
use crate::{
    job::{Changed, Job},
    pipeline::Purpose,
    spec::{Objection, ObjectionCode},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(cancel)).routes(routes!(retry)).routes(routes!(delete))
}

fn outcome(changed: Changed, needed: &'static str) -> Result<Job, ApiError> {
    match changed {
        Changed::Done(job) => Ok(*job),
        Changed::Missing => Err(ApiError::NotFound { what: "such job" }),
        Changed::Exceeded(quota) => Err(ApiError::Exceeded(quota)),
        Changed::Stale => Err(ApiError::Stale),
        Changed::Refused(status) => Err(ApiError::Refused { status: status.name(), needed }),
    }
}

fn answer(status: StatusCode, job: Job) -> Response {
    (status, [(header::ETAG, tag(&job))], Json(JobView::from(job))).into_response()
}

/// Cancel a job.
///
/// One that waits is cancelled at once, one that runs within two seconds: it is `cancelling` until then. Asking again
/// changes nothing.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs", params(
    ("id" = String, Path, description = "The job's id."),
    ("If-Match" = inline(Option<String>), Header, nullable = false, description = "Only if the job is at this version."),
), responses(
    (status = 200, description = "The job, cancelled or about to be.", body = JobView),
    (status = 404, description = "There is no such job.", body = Problem),
    (status = 409, description = "The job has ended otherwise.", body = Problem),
    (status = 412, description = "The job is at another version.", body = Problem),
))]
async fn cancel(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams(id): PathParams<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let changed = state.jobs.cancel(writer.tenant(), &parse(&id)?, if_match(&headers)?).await?;
    let job = outcome(changed, "only one that has not ended can be cancelled")?;
    Ok(answer(StatusCode::OK, job))
}

/// Queue a job again that failed, was cancelled or timed out.
///
/// The body, if there is one, is a JSON merge patch (RFC 7396) to the job's request: another model, other rules, more time.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs", params(
    ("id" = String, Path, description = "The job's id."),
    ("If-Match" = inline(Option<String>), Header, nullable = false, description = "Only if the job is at this version."),
), request_body(content = inline(Option<Object>), content_type = "application/merge-patch+json",
    description = "What is to be different.", example = json!({"timeout_seconds": 7200})), responses(
    (status = 202, description = "The job, queued.", body = JobView),
    (status = 400, description = "The body cannot be read.", body = Problem),
    (status = 404, description = "There is no such job.", body = Problem),
    (status = 409, description = "The job has not ended, or has a result.", body = Problem),
    (status = 412, description = "The job is at another version.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "The job could not be carried out so.", body = Problem),
))]
async fn retry(
    State(state): State<ApiState>,
    writer: Writer,
    PathJob(job): PathJob,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let mut request = serde_json::to_value(&job.spec).map_err(|_| ApiError::Internal)?;
    let empty = body.as_ref().is_ok_and(|body| body.trim_ascii().is_empty());
    let patch = if empty { Value::Null } else { request::json_body(&headers, body)? };
    // Nothing is to be different; as a patch, null would leave nothing of the request.
    if !patch.is_null() {
        merge(&mut request, patch);
        // Patches may add up; a job is never larger than one that comes at once.
        if request.to_string().len() > state.largest_body {
            return Err(ApiError::TooLarge);
        }
    }
    let request = read(request).await?;
    if request.spec.name != job.spec.name {
        let objection = Objection::new("/name", ObjectionCode::OutOfRange, "a job keeps its name");
        return Err(ApiError::Invalid(vec![objection.hint("submit a new job instead")]));
    }
    let new = new_job(&state, writer.tenant(), admit(&state, writer.tenant(), request, Purpose::Run)?, None);
    let changed = state.jobs.retry(writer.tenant(), &job.id, if_match(&headers)?, new).await?;
    let job = outcome(changed, "only one that failed, timed out or was cancelled can be tried again")?;
    Ok(answer(StatusCode::ACCEPTED, job))
}

/// Delete a job that has ended, and its files.
#[utoipa::path(delete, path = "/v1/jobs/{id}", operation_id = "delete_job", tag = "jobs", params(
    ("id" = String, Path, description = "The job's id."),
    ("If-Match" = inline(Option<String>), Header, nullable = false, description = "Only if the job is at this version."),
), responses(
    (status = 204, description = "It is gone."),
    (status = 404, description = "There is no such job.", body = Problem),
    (status = 409, description = "The job has not ended: cancel it first.", body = Problem),
    (status = 412, description = "The job is at another version.", body = Problem),
))]
async fn delete(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams(id): PathParams<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let changed = state.jobs.delete(writer.tenant(), &parse(&id)?, if_match(&headers)?).await?;
    let job = outcome(changed, "only one that has ended can be deleted; cancel it first")?;
    // After the row: a process that dies in between leaves files that no row refers to, which the sweep removes.
    state.artifacts.remove(job.id.as_str()).await;
    Ok(StatusCode::NO_CONTENT)
}
