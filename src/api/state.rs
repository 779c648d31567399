//! [`ApiState`]: what the handlers work with.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    access::Access,
    failures::Failures,
    limits::Limits,
    ports::{DiskProbe, InputPolicy, Telemetry, WebhookPolicy},
    shares::Shares,
};
use crate::{
    access::KeyStore,
    job::{ArtifactReader, JobStore, Planner, Quotas, Uploads},
    webhook::WebhookStore,
};

/// What the handlers work with: ports, and a few settings.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// How far models and data of strangers run apart, in one line.
    pub isolation: Arc<str>,
    /// Jobs and their events.
    pub jobs: Arc<dyn JobStore>,
    /// The files of jobs that succeeded.
    pub artifacts: Arc<dyn ArtifactReader>,
    /// Files that clients brought.
    pub uploads: Arc<dyn Uploads>,
    /// The largest request of a job, in bytes.
    pub largest_body: usize,
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
    /// Wrong credentials, by address; not counted without it.
    pub failures: Option<Arc<Failures>>,
    /// The streams of events that are open.
    pub streams: Arc<Shares>,
    /// The answers that each tenant waits for or takes; not counted without it.
    pub answers: Option<Arc<Shares>>,
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
