//! `/v1/jobs/{id}/artifacts`: list and download.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    error::ApiError,
    jobs::find,
    problem::Problem,
    views::{self, ArtifactView},
};
use crate::{
    job::{ArtifactBody, JobResult},
    report::Artifact,
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(download))
}

/// The files of a job that succeeded.
#[derive(Debug, Serialize, ToSchema)]
struct ArtifactList {
    /// The files, the manifest last; empty until the job has succeeded.
    artifacts: Vec<ArtifactView>,
}

/// List a job's files.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The files.", body = ArtifactList),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
    ))]
async fn list(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<ArtifactList>, ApiError> {
    let job = find(&state, &id).await?;
    Ok(Json(ArtifactList { artifacts: views::artifacts(&job) }))
}

/// Download a file.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts/{name}", tag = "results",
    params(("id" = String, Path, description = "The job's id."), ("name" = String, Path, description = "The file's name.")),
    responses(
        (status = 200, description = "The file's bytes.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "There is no such job or file.", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "The job has not succeeded.", body = Problem,
         content_type = "application/problem+json"),
    ))]
async fn download(
    State(state): State<ApiState>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let job = find(&state, &id).await?;
    let status = job.status.name();
    let result = job.result.ok_or(ApiError::NotReady { what: "the file", status })?;
    let (artifact, body) = open(&state, &result, &name).await?;
    let headers = [
        (header::CONTENT_TYPE, artifact.media_type),
        (header::CONTENT_LENGTH, artifact.size.to_string()),
        (header::ETAG, format!("\"{}\"", artifact.sha256.as_deref().unwrap_or_default())),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", artifact.name.replace(['"', '\\'], "_"))),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// An artifact by name: only names that the job lists exist, so none can lead elsewhere.
pub(super) async fn open(
    state: &ApiState,
    result: &JobResult,
    name: &str,
) -> Result<(Artifact, ArtifactBody), ApiError> {
    let artifact = result.artifacts.iter().find(|artifact| artifact.name == name);
    let artifact = artifact.ok_or(ApiError::NotFound { what: "such file" })?.clone();
    let body = state.artifacts.read(&format!("{}/{}", result.prefix, artifact.name)).await?;
    Ok((artifact, body))
}
