//! Admission: the checks that a request must pass to become a job, shared by create, retry and plan.

use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{error::ApiError, state::ApiState};
use crate::{
    job::{AdmittedJob, Idempotency, JobId, JobRequest, NewJob, Tenant},
    panics::blocking,
    pipeline::Purpose,
};

/// Requests with regular expressions that are read at a time. Each may take a tenth of a second of a core.
static COMPILING: Semaphore = Semaphore::const_new(2);

/// Reads a request away from the threads that answer others. One without regular expressions waits for none that has some.
pub(super) async fn read(body: Value) -> Result<JobRequest, ApiError> {
    let _place = if compiles(&body) { COMPILING.acquire().await.ok() } else { None };
    blocking(move || JobRequest::read(&body)).await.map_err(|_| ApiError::Internal)
}

/// Whether a regular expression stands in it.
fn compiles(body: &Value) -> bool {
    match body {
        Value::String(text) => text.starts_with("re:"),
        Value::Array(values) => values.iter().any(compiles),
        Value::Object(fields) => fields.values().any(compiles),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A tenant's job, or everything wrong with it that can be found without its model.
pub(super) fn admit(
    state: &ApiState,
    tenant: &Tenant,
    request: JobRequest,
    purpose: Purpose,
) -> Result<AdmittedJob, ApiError> {
    request.admit(purpose, |pointer, uri| state.inputs.objection(tenant, pointer, uri)).map_err(ApiError::Invalid)
}

/// A job to be queued, under a new id.
pub(super) fn new_job(state: &ApiState, tenant: &Tenant, job: AdmittedJob, idempotency: Option<Idempotency>) -> NewJob {
    let id = JobId::from_uuid(Uuid::now_v7().as_u128());
    NewJob { id, tenant: tenant.clone(), job, idempotency, quotas: state.quotas }
}
