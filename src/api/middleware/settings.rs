//! [`HttpSettings`]: how requests are treated, whatever they ask for.

use std::time::Duration;

use super::cors::CorsOrigins;

/// How requests are treated, whatever they ask for.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Whose pages may call the API from a browser.
    pub cors: CorsOrigins,
    /// The most requests that are worked on at a time; more are turned away.
    pub max_requests: usize,
    /// The longest that a request is worked on until the head of its answer is sent. Uploads have no such limit.
    pub timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings { cors: CorsOrigins::None, max_requests: 4096, timeout: Duration::from_secs(300) }
    }
}
