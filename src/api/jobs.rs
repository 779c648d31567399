//! `/v1/jobs`: list and look at.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Reader,
    conditional::{if_none_match, tag},
    error::ApiError,
    extract::Params,
    path_job::PathJob,
    problem::Problem,
    state::ApiState,
    views::{JobView, StatusView},
    wait,
};
use crate::job::{Cursor, Job, JobStatus, ListQuery};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only jobs that stand like this.
    #[param(value_type = StatusView, nullable = false)]
    status: Option<JobStatus>,
    /// Only jobs of this backend.
    #[param(nullable = false, example = "modelopt")]
    backend: Option<String>,
    /// Only the job of this name.
    #[param(nullable = false)]
    name: Option<String>,
    /// Only jobs with this label, `key:value`.
    #[param(nullable = false, example = "team:vision", pattern = "^[^:]+:.*$")]
    label: Option<String>,
    /// Only jobs created at this time or later, in milliseconds since 1970.
    #[param(nullable = false)]
    created_after: Option<i64>,
    /// Only jobs created before this time.
    #[param(nullable = false)]
    created_before: Option<i64>,
    /// Where the page before ended: its `next_cursor`.
    #[param(nullable = false, pattern = "^-?[0-9]{1,18}[.]qj_[0-9a-f]{32}$")]
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
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs", params(ListParams), responses(
    (status = 200, description = "A page of jobs.", body = JobPage),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
))]
async fn list(
    State(state): State<ApiState>,
    reader: Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<JobPage>, ApiError> {
    let malformed = |detail: String| ApiError::Malformed { detail };
    // A text that no row can hold; a database says so with an error.
    let texts = [&params.backend, &params.name, &params.label];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(malformed("a parameter holds a zero byte".to_owned()));
    }
    let limit = i64::from(params.limit.unwrap_or(20));
    if !(1..=100).contains(&limit) {
        return Err(malformed("`limit` must be between 1 and 100".to_owned()));
    }
    let after = params
        .cursor
        .as_deref()
        .map(|cursor| read_cursor(cursor).ok_or_else(|| malformed("`cursor` is not one that a page gave".to_owned())));
    let label = params.label.as_deref().map(|label| {
        let (key, value) = label.split_once(':').ok_or_else(|| malformed("`label` is `key:value`".to_owned()))?;
        Ok::<_, ApiError>((key.to_owned(), value.to_owned()))
    });
    let query = ListQuery {
        status: params.status,
        backend: params.backend,
        name: params.name,
        label: label.transpose()?,
        created_after: params.created_after,
        created_before: params.created_before,
        after: after.transpose()?,
        // One more than asked for shows whether there is a next page.
        limit: limit + 1,
    };
    let mut jobs = state.jobs.list(reader.tenant(), query).await?;
    let more = jobs.len() as i64 > limit;
    jobs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = jobs.last().filter(|_| more).map(|job| format!("{}.{}", job.created_at, job.id));
    Ok(Json(JobPage { jobs: jobs.into_iter().map(JobView::listed).collect(), next_cursor }))
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let (created_at, id) = text.split_once('.')?;
    Some(Cursor { created_at: created_at.parse().ok()?, id: id.parse().ok()? })
}

/// Look at a job.
///
/// With `Prefer: wait=n` the answer comes when its status changes or, where `If-None-Match` names the version that the client
/// has, when anything changes; after n seconds at the latest, 30 at most.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "jobs", params(
    ("id" = String, Path, description = "The job's id."),
    ("If-None-Match" = inline(Option<String>), Header, nullable = false, description = "The version that the client has."),
    ("Prefer" = inline(Option<String>), Header, nullable = false, example = "wait=10",
     description = "`wait=n`: answer when the job has changed, or after n seconds."),
), responses(
    (status = 200, description = "The job.", body = JobView, headers(("ETag" = String, description = "Its version."))),
    (status = 304, description = "The client has this version."),
    (status = 404, description = "There is no such job.", body = Problem),
))]
async fn show(
    State(state): State<ApiState>,
    PathJob(mut job): PathJob,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let known = if_none_match(&headers);
    let waited = wait::preferred(&headers);
    if let Some(wait) = waited.filter(|_| known.is_none_or(|version| version == job.version)) {
        let (status, version) = (job.status, job.version);
        let changed = |now: &Job| if known.is_some() { now.version != version } else { now.status != status };
        let changed_job = wait::until(&state, (&job.tenant, &job.id), wait, changed).await?;
        job = changed_job.ok_or(ApiError::NotFound { what: "such job any more" })?;
    }
    let head = [(header::ETAG, tag(&job))];
    let mut response = match known {
        Some(version) if version == job.version => (StatusCode::NOT_MODIFIED, head).into_response(),
        _ => (head, Json(JobView::from(job))).into_response(),
    };
    wait::applied(response.headers_mut(), waited);
    Ok(response)
}
