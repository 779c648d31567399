//! The log: to stderr, filtered by `PTQD_LOG`.

use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` is in the syntax of tracing's `EnvFilter`, e.g. `info` or `ptqd=debug`.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Already set in tests that start more than one server.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
