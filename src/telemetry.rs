//! The log: to stderr, filtered by `PTQD_LOG`.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Starts logging; `filter` is a level, or levels by module: `info`, `warn,ptqd=debug`. One that cannot be read is `info`.
pub fn start(filter: &str) {
    let filter = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Already set in tests that start more than one server.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
