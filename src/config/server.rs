//! The server and the workers.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::{AccessConfig, ComputeConfig, HttpConfig, RetentionConfig, StorageConfig};

/// The settings of `ptqd worker`.
#[derive(Args, Clone, Debug)]
pub struct WorkerConfig {
    /// How long a worker may be silent before its job is given to another, in seconds.
    #[arg(long, env = "PTQD_LEASE_SECONDS", value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub lease_seconds: u32,

    /// How often an idle worker looks for jobs, in milliseconds.
    #[arg(long, env = "PTQD_POLL_MILLISECONDS", value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..))]
    pub poll_milliseconds: u32,

    /// The most tasks of one tenant that run at a time, over all workers; no limit without it.
    #[arg(long, env = "PTQD_TENANT_LIMIT", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tenant_limit: Option<u32>,

    /// The most seconds that an attempt may run whose job gives no `timeout_seconds`; 0 for no limit.
    #[arg(long, env = "PTQD_DEFAULT_TIMEOUT_SECONDS", value_name = "N", default_value_t = Self::DEFAULT_TIMEOUT_SECONDS)]
    pub default_timeout_seconds: u32,

    /// Sharded checkpoints of at least so many mebibytes are shared among workers, where there is more than one.
    #[arg(long, env = "PTQD_FAN_OUT_MIB", value_name = "N", default_value_t = 1024)]
    pub fan_out_mib: u64,

    /// How long things are kept.
    #[command(flatten)]
    pub retention: RetentionConfig,

    /// The engine and the threads.
    #[command(flatten)]
    pub compute: ComputeConfig,

    /// Where things are kept.
    #[command(flatten)]
    pub storage: StorageConfig,
}

impl WorkerConfig {
    /// Six hours.
    pub const DEFAULT_TIMEOUT_SECONDS: u32 = 6 * 3600;

    /// How long an attempt may run by default.
    pub fn default_timeout(&self) -> Option<Duration> {
        let seconds = u64::from(self.default_timeout_seconds);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_seconds))
    }

    /// How long an idle worker waits.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(u64::from(self.poll_milliseconds))
    }
}

/// The settings of `ptqd serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeConfig {
    /// The address to listen on.
    #[arg(long, env = "PTQD_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Workers inside this process; 0 serves the API alone.
    #[arg(long, env = "PTQD_WORKERS", value_name = "N", default_value_t = 1)]
    pub workers: usize,

    /// The most mebibytes of one upload.
    #[arg(long, env = "PTQD_MAX_UPLOAD_MIB", value_name = "N", default_value_t = 16_384)]
    pub max_upload_mib: u64,

    /// How requests are treated.
    #[command(flatten)]
    pub http: HttpConfig,

    /// Who may use the API.
    #[command(flatten)]
    pub access: AccessConfig,

    /// The settings of the workers inside this process.
    #[command(flatten)]
    pub worker: WorkerConfig,
}
