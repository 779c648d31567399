//! `POST /v1/plans`: what a job would do, without doing it.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Reader, admission::admit, error::ApiError, job_schema::JobSchema, problem::Problem, request,
    state::ApiState, views::WarningView,
};
use crate::{job::JobRequest, pipeline::Purpose};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// What a job would do.
#[derive(Debug, Serialize, ToSchema)]
struct PlanView {
    /// The rules as they would be carried out.
    #[schema(value_type = Object)]
    effective_config: Value,
    /// Decision and reason for each layer, match count for each pattern.
    #[schema(value_type = Object)]
    plan: Value,
    /// What the user should know.
    warnings: Vec<WarningView>,
    /// The size of the model's files; null where it is not known.
    bytes_before: Option<u64>,
    /// The predicted size of the result's.
    bytes_after: Option<u64>,
    /// The memory that running the model is predicted to take; null where no model is run, or there is no data.
    predicted_peak_bytes: Option<u64>,
    /// Into how many shards the work could be shared among workers; null where it could not.
    shards: Option<usize>,
}

/// Plan a job without running it.
///
/// Reads the model's header or graph alone. The request is the one of `POST /v1/jobs`; calibration data may be missing.
#[utoipa::path(post, path = "/v1/plans", operation_id = "plan_job", tag = "jobs", request_body = JobSchema, responses(
    (status = 200, description = "The plan.", body = PlanView),
    (status = 400, description = "The body is not JSON.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "The job cannot be carried out; every objection is listed.", body = Problem),
))]
async fn plan(
    State(state): State<ApiState>,
    reader: Reader,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PlanView>, ApiError> {
    let request = JobRequest::read(&request::json_body(&headers, body)?);
    let job = admit(&state, reader.tenant(), request, Purpose::Look)?;
    let known = job.warnings.clone();
    let dry = state.planner.plan(reader.tenant(), job).await.map_err(|failure| ApiError::Failed(Box::new(failure)))?;
    let more = dry.warnings.iter().filter(|warning| !known.contains(warning));
    Ok(Json(PlanView {
        effective_config: dry.plan["effective_config"].clone(),
        plan: dry.plan["plan"].clone(),
        warnings: known.iter().chain(more).map(WarningView::from).collect(),
        bytes_before: dry.bytes.map(|(before, _)| before),
        bytes_after: dry.bytes.map(|(_, after)| after),
        predicted_peak_bytes: dry.peak_bytes,
        shards: dry.shards,
    }))
}
