//! `/v1/jobs/{id}/plan`, `/report`, and two reports compared.

mod comparison;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::comparison::Comparison;
use super::{
    access::Reader,
    artifacts::{result, stored},
    error::ApiError,
    extract::Params,
    path_job::{PathJob, find},
    plans::cut,
    problem::Problem,
    state::ApiState,
};
use crate::job::Tenant;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(report)).routes(routes!(compare))
}

/// The largest report that is read into memory to be compared.
const LARGEST_REPORT: u64 = 256 << 20;

/// The resolved plan: decision and reason for each layer, match count for each pattern.
///
/// `layer_count` counts all layers; `cut` says whether there are more than the ten thousand that are listed. The report of a
/// job that succeeded has all of them.
#[utoipa::path(get, path = "/v1/jobs/{id}/plan", operation_id = "get_plan", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The plan.", body = Object),
        (status = 404, description = "There is no such job, or it ended without a plan.", body = Problem),
        (status = 409, description = "No worker has made the plan yet.", body = Problem),
    ))]
async fn plan(State(state): State<ApiState>, PathJob(job): PathJob) -> Result<Json<Value>, ApiError> {
    let status = job.status.name();
    // Where the job has ended, none will come.
    let missing = if job.status.is_terminal() {
        ApiError::NotFound { what: "plan of this job: none was made, or it was too large to be kept" }
    } else {
        ApiError::NotReady { what: "the plan", status }
    };
    let mut planned = state.jobs.plan(&job.tenant, &job.id).await?.ok_or(missing)?;
    cut(&mut planned);
    Ok(Json(planned))
}

/// Get the accuracy report of a job that succeeded.
#[utoipa::path(get, path = "/v1/jobs/{id}/report", operation_id = "get_report", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The report.", body = Object),
        (status = 404, description = "There is no such job.", body = Problem),
        (status = 409, description = "The job has not succeeded.", body = Problem),
    ))]
async fn report(State(state): State<ApiState>, PathJob(job): PathJob) -> Result<Response, ApiError> {
    let result = result(&job, "the report")?;
    let stored = stored(result, "report.json")?;
    let body = state.artifacts.read(&result.key(stored), None).await?;
    Ok(([(header::CONTENT_TYPE, stored.artifact.media_type.clone())], Body::from_stream(body)).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CompareParams {
    /// The id of the first job.
    #[param(pattern = "^qj_[0-9a-f]{32}$")]
    a: String,
    /// The id of the second job.
    #[param(pattern = "^qj_[0-9a-f]{32}$")]
    b: String,
}

/// Compare two reports: what another setting cost or gained.
#[utoipa::path(get, path = "/v1/reports/compare", operation_id = "compare_reports", tag = "results", params(CompareParams), responses(
    (status = 200, description = "The differences.", body = Comparison),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 404, description = "There is no such job.", body = Problem),
    (status = 409, description = "A job has not succeeded.", body = Problem),
))]
async fn compare(
    State(state): State<ApiState>,
    reader: Reader,
    Params(params): Params<CompareParams>,
) -> Result<Json<Comparison>, ApiError> {
    let (a, b) = (read(&state, reader.tenant(), &params.a).await?, read(&state, reader.tenant(), &params.b).await?);
    Ok(Json(Comparison::of((params.a, &a), (params.b, &b))))
}

async fn read(state: &ApiState, tenant: &Tenant, id: &str) -> Result<Value, ApiError> {
    let job = find(state, tenant, id).await?;
    let result = result(&job, "the report")?;
    let stored = stored(result, "report.json")?;
    if stored.artifact.size > LARGEST_REPORT {
        return Err(ApiError::TooLarge);
    }
    let body = state.artifacts.read(&result.key(stored), None).await?;
    let bytes = body.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    });
    let bytes = bytes.await.map_err(|_| ApiError::Unavailable { what: "artifact store" })?;
    serde_json::from_slice(&bytes).map_err(|_| ApiError::Internal)
}
