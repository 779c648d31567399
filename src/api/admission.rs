//! Admission: the checks that a request must pass to become a job, shared by create, retry and plan.

use uuid::Uuid;

use super::{error::ApiError, state::ApiState};
use crate::{
    job::{AdmittedJob, Idempotency, JobId, JobRequest, NewJob, Tenant},
    pipeline::Purpose,
};

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
