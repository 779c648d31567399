//! [`Fleet`]: the port to which workers are alive.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// A worker, and what it is able to do.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name, unique among those alive.
    pub name: String,
    /// What a job may take to run a model; no limit without it.
    pub memory_bytes: Option<u64>,
    /// Names of the backends that it can run.
    pub backends: Vec<&'static str>,
    /// The most tasks of one tenant that may run at a time, over all workers; no limit without it.
    pub tenant_limit: Option<u32>,
    /// How long an attempt may run whose job gives no limit; as long as it takes without it.
    pub default_timeout: Option<Duration>,
    /// Whether nothing else runs in its process, and nothing will before the worker has said what it took: only so may it
    /// take a task that has lost a worker before.
    pub alone: bool,
}

/// Knows the workers of all processes.
#[async_trait]
pub trait Fleet: std::fmt::Debug + Send + Sync {
    /// Says that a worker is alive.
    async fn announce(&self, worker: &Worker) -> Result<(), StoreError>;

    /// Says that it is gone.
    async fn unregister(&self, worker: &str) -> Result<(), StoreError>;

    /// How many workers that were alive lately can run a backend within this much memory.
    async fn capable_workers(&self, backend: &str, bytes: u64) -> Result<u64, StoreError>;
}
