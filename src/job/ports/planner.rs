//! [`Planner`]: the port to what plans a job without running it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    fault::Warning,
    job::{AdmittedJob, Failure, Tenant},
};

/// What a job would do, as far as it shows in the model's header or graph alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DryRun {
    /// `{effective_config, plan}`, as jobs have it.
    pub plan: Value,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// The size of the model's files now and then, in bytes, as far as it is known beforehand.
    pub bytes: Option<(u64, u64)>,
    /// What running the model is predicted to take, in bytes; of a job that runs it and has data.
    pub peak_bytes: Option<u64>,
    /// Into how many shards the work could be taken apart.
    pub shards: Option<usize>,
}

/// Says what a job would do.
#[async_trait]
pub trait Planner: std::fmt::Debug + Send + Sync {
    /// Makes the plan of a tenant's job. Nothing is computed.
    async fn plan(&self, tenant: &Tenant, job: AdmittedJob) -> Result<DryRun, Failure>;
}
