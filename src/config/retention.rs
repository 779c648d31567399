//! How long things are kept, and where webhooks may be.

use std::time::Duration;

use clap::Args;

/// How long things are kept, and where webhooks may be.
#[derive(Args, Clone, Debug, Default)]
pub struct RetentionConfig {
    /// Days after which the artifacts of a job that has ended are removed; never without it. The job and its summary stay.
    #[arg(long, env = "PTQD_KEEP_ARTIFACTS_DAYS", value_name = "N")]
    pub keep_artifacts_days: Option<f64>,

    /// Days after which the events of a job that has ended are removed, except changes of status; never without it.
    #[arg(long, env = "PTQD_KEEP_EVENTS_DAYS", value_name = "N")]
    pub keep_events_days: Option<f64>,

    /// Days after which uploads are removed; never without it.
    #[arg(long, env = "PTQD_KEEP_UPLOADS_DAYS", value_name = "N")]
    pub keep_uploads_days: Option<f64>,

    /// Let webhooks be at private, loopback and link-local addresses, and use plain http.
    #[arg(long, env = "PTQD_WEBHOOKS_PRIVATE")]
    pub webhooks_private: bool,
}

/// Some days as a duration; `None` for a number that is none.
pub fn days(days: Option<f64>) -> Option<Duration> {
    days.and_then(|days| Duration::try_from_secs_f64(days * 24.0 * 3600.0).ok())
}
