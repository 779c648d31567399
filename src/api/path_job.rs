//! [`PathJob`]: the job that a path names, of the caller's tenant.

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{access::Reader, error::ApiError, extract::PathParams, state::ApiState};
use crate::job::{Job, JobId, Tenant};

/// The job whose id is the `{id}` of the path. Rejects callers who may not look at jobs, and jobs of other tenants as if
/// there were none.
#[derive(Debug)]
pub(super) struct PathJob(pub(super) Job);

impl FromRequestParts<ApiState> for PathJob {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        /// The one parameter of the path that is wanted; serde passes over the others.
        #[derive(Deserialize)]
        struct Params {
            id: String,
        }
        let reader = Reader::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let read = PathParams::from_request_parts(parts, state).await;
        let PathParams(Params { id }) = read.map_err(IntoResponse::into_response)?;
        find(state, reader.tenant(), &id).await.map(PathJob).map_err(IntoResponse::into_response)
    }
}

/// The tenant's job with this id.
pub(super) async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<Job, ApiError> {
    let missing = || ApiError::NotFound { what: "such job" };
    state.jobs.get(tenant, &parse(id)?).await?.ok_or_else(missing)
}

/// The id that a client gives; what no id looks like names no job.
pub(super) fn parse(id: &str) -> Result<JobId, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound { what: "such job" })
}
