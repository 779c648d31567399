//! `POST /v1/jobs`: checks, idempotency, waiting for the result.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Writer,
    admission::{admit, new_job, read},
    conditional::tag,
    error::ApiError,
    extract::Params,
    job_schema::JobSchema,
    problem::Problem,
    request,
    state::ApiState,
    views::{JobView, WarningView},
    wait,
};
use crate::{
    digest::sha256_hex,
    job::{Created, Idempotency},
    pipeline::Purpose,
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create))
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CreateParams {
    /// Only check the request, and create nothing.
    #[serde(default)]
    #[param(default = false)]
    validate_only: bool,
}

/// A request that would become a job.
#[derive(Debug, Serialize, ToSchema)]
struct Validated {
    /// True: a request with objections is a problem instead.
    valid: bool,
    /// The rules as they would be carried out: names canonical, defaults filled in.
    #[schema(value_type = Object)]
    effective_config: Value,
    /// Every field that was aliased, ignored or changed.
    warnings: Vec<WarningView>,
}

/// What a request that was not queued is answered with.
#[derive(Serialize, ToSchema)]
#[schema(as = CreateAnswer)]
#[serde(untagged)]
#[expect(dead_code, reason = "the schema of one of two answers")]
enum Answer {
    /// With `Prefer: wait`: the job, which has ended.
    Job(Box<JobView>),
    /// With `validate_only`: the request is valid.
    Validated(Validated),
}

/// Submit a job.
///
/// With an `Idempotency-Key`, the same request may be sent again and creates one job only. With `Prefer: wait=n` the answer
/// comes when the job has ended, or after n seconds, 30 at most: 200 with the job as it ended, else 202.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "create_job", tag = "jobs", request_body = JobSchema, params(
    CreateParams,
    ("Idempotency-Key" = inline(Option<String>), Header, nullable = false, min_length = 1, max_length = 255,
     pattern = "^[!-~]+$", description = "Makes the request unique for a day."),
    ("Prefer" = inline(Option<String>), Header, nullable = false, example = "wait=10",
     description = "`wait=n`: answer when the job has ended, or after n seconds."),
), responses(
    (status = 200, description = "With `validate_only`: the request is valid. With `Prefer: wait`: the job has ended.",
     body = Answer),
    (status = 202, description = "The job is queued; `Location` names it.", body = JobView, headers(
        ("Location" = String, description = "The job."), ("ETag" = String, description = "The job's version."))),
    (status = 400, description = "The body is not JSON, or a header or parameter cannot be read.", body = Problem),
    (status = 403, description = "The tenant's artifacts have used up their quota.", body = Problem),
    (status = 409, description = "Another job has this name.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "The job cannot be carried out, and every objection is listed; or the idempotency key was \
     another request's.", body = Problem),
))]
async fn create(
    State(state): State<ApiState>,
    writer: Writer,
    Params(params): Params<CreateParams>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = request::json_body(&headers, body)?;
    let idempotency = idempotency(&headers, &body)?;
    let job = admit(&state, writer.tenant(), read(body).await?, Purpose::Run)?;
    if params.validate_only {
        let warnings = job.warnings.iter().map(WarningView::from).collect();
        return Ok(Json(Validated { valid: true, effective_config: job.effective_config, warnings }).into_response());
    }
    let new = new_job(&state, writer.tenant(), job, idempotency);
    let (mut job, replayed) = match state.jobs.create(new).await? {
        Created::New(job) => (job, false),
        Created::Replayed(job) => (job, true),
        Created::KeyReused => return Err(ApiError::KeyReused),
        Created::Exceeded(quota) => return Err(ApiError::Exceeded(quota)),
        Created::NameTaken(id) => return Err(ApiError::NameTaken { id: id.to_string() }),
    };
    let waited = wait::preferred(&headers);
    if let Some(wait) = waited {
        let id = job.id.clone();
        let ended = wait::until(&state, (writer.tenant(), &id), wait, |_| false).await?;
        job = ended.ok_or(ApiError::NotFound { what: "such job any more" })?;
    }
    let ended = waited.is_some() && job.status.is_terminal();
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let head = [
        (header::LOCATION, HeaderValue::from_str(&format!("/v1/jobs/{}", job.id)).map_err(|_| ApiError::Internal)?),
        (header::ETAG, tag(&job)),
    ];
    let mut response = (status, head, Json(JobView::from(job))).into_response();
    wait::applied(response.headers_mut(), waited);
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What makes the request unique: its key, and a digest of its body whatever the order of its fields.
fn idempotency(headers: &HeaderMap, body: &Value) -> Result<Option<Idempotency>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=255).contains(&key.len()));
    let key = key.ok_or_else(|| ApiError::Malformed {
        detail: "`Idempotency-Key` has 1 to 255 visible characters".to_owned(),
    })?;
    let mut sorted = body.clone();
    sorted.sort_all_objects();
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint: sha256_hex(sorted.to_string().as_bytes()) }))
}
