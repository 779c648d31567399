//! [`LocalPlanner`]: plans made in this process.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::{
    compute::Compute,
    engine::EngineConfig,
    fault::FaultCode,
    job::{AdmittedJob, DryRun, Failure, Planner, Tenant},
    storage::{Cache, Sources},
    worker,
};

/// Makes plans in this process, a few at a time: a graph is read into memory for each.
#[derive(Debug)]
pub(super) struct LocalPlanner {
    pub(super) compute: Compute,
    pub(super) sources: Sources,
    pub(super) cache: Option<Cache>,
    pub(super) scratch: PathBuf,
    pub(super) engine: EngineConfig,
    /// One permit for each plan that may be made at a time.
    pub(super) places: Semaphore,
}

#[async_trait]
impl Planner for LocalPlanner {
    async fn plan(&self, tenant: &Tenant, job: AdmittedJob) -> Result<DryRun, Failure> {
        let busy = || Failure::plain(FaultCode::PlanUnavailable, "the plan could not be made");
        let _place = self.places.acquire().await.map_err(|_| busy())?;
        let LocalPlanner { compute, sources, cache, scratch, engine, .. } = self;
        worker::dry_run(compute, sources, cache.as_ref(), scratch, tenant, job, engine).await
    }
}
