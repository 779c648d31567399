//! [`ApiState`]: what the handlers work with.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    access::Access,
    limits::Limits,
    ports::{DiskProbe, InputPolicy, Telemetry, WebhookPolicy},
};
use crate::{
    access::KeyStore,
    job::{ArtifactReader, JobStore, Planner, Quotas, Uploads},
    webhook::WebhookStore,
};

/// What the handlers work with: ports, and a few settings.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Jobs and their events.
    pub jobs: Arc<dyn JobStore>,
    /// The files of jobs that succeeded.
    pub artifacts: Arc<dyn ArtifactReader>,
    /// Files that clients brought.
    pub uploads: Arc<dyn Uploads>,
    /// What one tenant may hold.
    pub quotas: Quotas,
    /// The largest upload, in bytes.
    pub largest_upload: u64,
    /// Webhooks and their deliveries.
    pub webhooks: Arc<dyn WebhookStore>,
    /// API keys, to be made, listed and revoked.
    pub keys: Arc<dyn KeyStore>,
    /// Plans jobs without running them.
    pub planner: Arc<dyn Planner>,
    /// Who may use the API.
    pub access: Access,
    /// How often each caller may ask; no limit without it.
    pub limits: Option<Arc<Limits>>,
    /// Where inputs may come from.
    pub inputs: Arc<dyn InputPolicy>,
    /// Where webhooks may be.
    pub webhook_policy: Arc<dyn WebhookPolicy>,
    /// The local disk, for the readiness probe.
    pub disk: Arc<dyn DiskProbe>,
    /// Where requests are counted and traced, and where `/metrics` comes from.
    pub telemetry: Arc<dyn Telemetry>,
    /// Whether the server is about to stop.
    pub draining: watch::Receiver<bool>,
}
