//! `/v1/jobs`: create, list, look at.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::BytesRejection, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    ApiState,
    error::ApiError,
    problem::Problem,
    request::JobRequest,
    views::{JobView, StatusView},
};
use crate::{
    backend,
    job::{Cursor, Job, JobId, JobSpec, JobStatus, ListQuery, NewJob},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show))
}

/// The job of a path.
pub(super) async fn find(state: &ApiState, id: &str) -> Result<Job, ApiError> {
    let missing = || ApiError::NotFound { what: "such job" };
    let id: JobId = id.parse().map_err(|_| missing())?;
    state.store.get(&id).await?.ok_or_else(missing)
}

/// Submit a job.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobRequest, responses(
    (status = 202, description = "The job is queued; `Location` names it.", body = JobView),
    (status = 400, description = "The body is not a job.", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The job cannot be carried out; every objection is listed.", body = Problem,
     content_type = "application/problem+json"),
))]
async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.to_ascii_lowercase().starts_with("application/json") {
        return Err(ApiError::MediaType);
    }
    let body = body.map_err(|_| ApiError::TooLarge)?;
    let spec = JobSpec::from(JobRequest::read(&body)?);
    let new = check(&state, spec)?;
    let job = state.store.create(new).await?;
    state.wake.notify_one();
    let location = format!("/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(JobView::from(job))).into_response())
}

/// Everything that can be told without the model.
fn check(state: &ApiState, spec: JobSpec) -> Result<NewJob, ApiError> {
    let checked = spec.check();
    let mut objections = checked.objections;
    let mut warnings = checked.warnings;
    let (_, more, heads) = backend::check(&checked.quantize, spec.calibration.is_some());
    objections.extend(more);
    warnings.extend(heads);
    let uris = [
        ("/model/uri", Some(&spec.model.uri)),
        ("/calibration/uri", spec.calibration.as_ref().map(|c| &c.uri)),
        ("/evaluation/uri", spec.evaluation.as_ref().map(|e| &e.uri)),
    ];
    objections.extend(uris.into_iter().filter_map(|(pointer, uri)| (state.uri_check)(pointer, uri?)));
    if !objections.is_empty() {
        return Err(ApiError::Invalid(objections));
    }
    Ok(NewJob { id: JobId::from_uuid(Uuid::now_v7().as_u128()), spec, warnings })
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only jobs that stand like this.
    #[param(value_type = StatusView, nullable = false)]
    status: Option<JobStatus>,
    /// Where the page before ended: its `next_cursor`.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// The most jobs on the page; 20 without it.
    #[param(nullable = false, minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
struct JobPage {
    /// The jobs, newest first.
    jobs: Vec<JobView>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

/// List jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(ListParams), responses(
    (status = 200, description = "A page of jobs.", body = JobPage),
    (status = 400, description = "A parameter cannot be read.", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<JobPage>, ApiError> {
    let malformed = |detail: String| ApiError::Malformed { detail, pointer: None };
    let Query(params) = params.map_err(|e| malformed(e.body_text()))?;
    let limit = i64::from(params.limit.unwrap_or(20));
    if !(1..=100).contains(&limit) {
        return Err(malformed("`limit` must be between 1 and 100".to_owned()));
    }
    let after = params
        .cursor
        .as_deref()
        .map(|cursor| read_cursor(cursor).ok_or_else(|| malformed("`cursor` is not one that a page gave".to_owned())));
    // One more than asked for tells whether there is a next page.
    let query = ListQuery { status: params.status, after: after.transpose()?, limit: limit + 1 };
    let mut jobs = state.store.list(query).await?;
    let more = jobs.len() as i64 > limit;
    jobs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = jobs.last().filter(|_| more).map(|job| format!("{}.{}", job.created_at, job.id));
    Ok(Json(JobPage { jobs: jobs.into_iter().map(JobView::from).collect(), next_cursor }))
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let (created_at, id) = text.split_once('.')?;
    Some(Cursor { created_at: created_at.parse().ok()?, id: id.parse().ok()? })
}

/// Look at a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The job.", body = JobView),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
    ))]
async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<JobView>, ApiError> {
    Ok(Json(find(&state, &id).await?.into()))
}
