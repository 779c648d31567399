//! `/v1/jobs/{id}/plan` and `/report`.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, artifacts::open, error::ApiError, jobs::find, problem::Problem};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(report))
}

/// The resolved plan: decision and reason for each layer, match count for each pattern.
#[utoipa::path(get, path = "/v1/jobs/{id}/plan", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The plan.", body = Object),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No worker has made the plan yet.", body = Problem,
         content_type = "application/problem+json"),
    ))]
async fn plan(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let job = find(&state, &id).await?;
    let status = job.status.name();
    job.plan.map(Json).ok_or(ApiError::NotReady { what: "the plan", status })
}

/// The accuracy report.
#[utoipa::path(get, path = "/v1/jobs/{id}/report", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The report.", body = Object),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The job has not succeeded.", body = Problem,
         content_type = "application/problem+json"),
    ))]
async fn report(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let job = find(&state, &id).await?;
    let status = job.status.name();
    let result = job.result.ok_or(ApiError::NotReady { what: "the report", status })?;
    let (artifact, body) = open(&state, &result, "report.json").await?;
    Ok(([(header::CONTENT_TYPE, artifact.media_type)], Body::from_stream(body)).into_response())
}
