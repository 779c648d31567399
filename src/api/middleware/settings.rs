//! [`HttpSettings`]: how requests are treated, whatever they ask for.

use std::time::Duration;

use super::{cors::CorsOrigins, pace::Pace};

/// How requests are treated, whatever they ask for.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Whose pages may call the API from a browser.
    pub cors: CorsOrigins,
    /// The names by which this server may be asked where no key is needed, besides `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// How slowly a body may come.
    pub pace: Pace,
    /// The most requests that are worked on at a time; more are turned away.
    pub max_requests: usize,
    /// The largest body of a request, in bytes. Uploads have a limit of their own.
    pub largest_body: usize,
    /// The longest that a request is worked on until the head of its answer is sent. Uploads have no such limit.
    pub timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            cors: CorsOrigins::None,
            hosts: Vec::new(),
            pace: Pace { patience: Duration::from_secs(30), least: 4096 },
            max_requests: 4096,
            largest_body: 64 << 10,
            timeout: Duration::from_secs(300),
        }
    }
}
