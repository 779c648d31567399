//! How the server treats requests.

use std::time::Duration;

use clap::Args;

/// How the server treats requests, whatever they ask for.
#[derive(Args, Clone, Debug)]
pub struct HttpConfig {
    /// An origin whose pages may call the API from a browser (CORS), such as `https://app.example.com`, or `*` for any; may be
    /// given more than once. Without it, only the service's own page may.
    #[arg(long = "cors-origin", env = "PTQD_CORS_ORIGINS", value_name = "URL", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// The most requests that are worked on at a time; more are answered 503 with `Retry-After`.
    #[arg(long, env = "PTQD_MAX_REQUESTS", value_name = "N", default_value_t = Self::MAX_REQUESTS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests: u32,

    /// The most plans (`POST /v1/plans`) that are made at a time, and half as many, rounded up, for one tenant; more wait.
    #[arg(long, env = "PTQD_MAX_PLANS", value_name = "N", default_value_t = Self::MAX_PLANS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_plans: u32,

    /// The most seconds that a request is worked on before its answer begins, uploads excepted; one that takes longer is
    /// answered 503. At least 31, since `Prefer: wait` may ask for 30.
    #[arg(long, env = "PTQD_REQUEST_TIMEOUT_SECONDS", value_name = "N", default_value_t = Self::TIMEOUT_SECONDS, value_parser = clap::value_parser!(u32).range(31..))]
    pub request_timeout_seconds: u32,
}

impl HttpConfig {
    const MAX_REQUESTS: u32 = 4096;
    const MAX_PLANS: u32 = 4;
    const TIMEOUT_SECONDS: u32 = 300;

    /// The longest that a request is worked on.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds.into())
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            cors_origins: Vec::new(),
            max_requests: Self::MAX_REQUESTS,
            max_plans: Self::MAX_PLANS,
            request_timeout_seconds: Self::TIMEOUT_SECONDS,
        }
    }
}
