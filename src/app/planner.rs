//! [`LocalPlanner`]: plans made in this process.

use std::path::PathBuf;

use super::places::PlanPlaces;
use crate::{
    compute::Compute,
    engine::EngineConfig,
    fault::FaultCode,
    job::{AdmittedJob, DryRun, Failure, Planner, Tenant},
    storage::{Cache, Sources},
    worker,
};
use async_trait::async_trait;

/// Makes plans in this process, a few at a time: a graph is read into memory for each.
#[derive(Debug)]
pub(super) struct LocalPlanner {
    pub(super) compute: Compute,
    pub(super) sources: Sources,
    pub(super) cache: Option<Cache>,
    pub(super) scratch: PathBuf,
    pub(super) engine: EngineConfig,
    pub(super) places: PlanPlaces,
}

#[async_trait]
impl Planner for LocalPlanner {
    async fn plan(&self, tenant: &Tenant, job: AdmittedJob) -> Result<DryRun, Failure> {
        let busy = || Failure::plain(FaultCode::PlanUnavailable, "the plan could not be made");
        let _place = self.places.take(tenant).await.ok_or_else(busy)?;
        let LocalPlanner { compute, sources, cache, scratch, engine, .. } = self;
        worker::dry_run(compute, sources, cache.as_ref(), scratch, tenant, job, engine).await
    }
}
