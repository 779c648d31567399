//! From the configuration to what the server goes by.

use std::{net::SocketAddr, time::Duration};

use super::error::AppError;
use crate::{
    api::{ConnectionLimits, CorsOrigins, HttpSettings, Pace, Taking},
    config::HttpConfig,
};

/// How requests are treated on a server that listens there.
pub(super) fn settings(config: &HttpConfig, listen: SocketAddr) -> Result<HttpSettings, AppError> {
    let own = Some(listen.ip()).filter(|ip| !ip.is_unspecified());
    // As a `Host` has it: an IPv6 address in brackets.
    let own = own.map(|ip| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    Ok(HttpSettings {
        cors: CorsOrigins::parse(&config.cors_origins)?,
        hosts: config.allow_hosts.iter().cloned().chain(own).collect(),
        pace: Pace { patience: seconds(config.body_timeout_seconds), least: config.body_bytes_per_second },
        max_requests: count(config.max_requests),
        largest_body: config.largest_body(),
        timeout: config.timeout(),
    })
}

/// How many connections there may be. Half of the files that the process may open are left for everything else.
pub(super) fn connections(config: &HttpConfig) -> ConnectionLimits {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    let total = count(config.max_connections).min(half).max(1);
    ConnectionLimits {
        total,
        per_address: count(config.max_connections_per_address).min(total),
        head: seconds(config.head_timeout_seconds),
        idle: seconds(config.keep_alive_seconds),
        // Who pauses a download for longer goes on with a range.
        taking: Taking { window: seconds(config.body_timeout_seconds), least: config.body_bytes_per_second },
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

/// A count of a setting.
pub(super) fn count(setting: u32) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}
