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

    /// A name by which this server may be asked where no key is needed, besides localhost, 127.0.0.1, ::1 and the address
    /// that it listens on; may be given more than once. Any other name may be one that leads here after a page was loaded
    /// (DNS rebinding), and is refused.
    #[arg(long = "allow-host", env = "PTQD_ALLOW_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub allow_hosts: Vec<String>,

    /// The most connections at a time, at most half the files that the process may open. Where there is no room, the one that
    /// has waited longest for a request is closed. With keys, no tenant has more than half of them in hand.
    #[arg(long, env = "PTQD_MAX_CONNECTIONS", value_name = "N", default_value_t = Self::MAX_CONNECTIONS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// The most connections of one address at a time, or of one IPv6 network of 64 bits. Behind a proxy all have its address: give the number of
    /// --max-connections there.
    #[arg(long, env = "PTQD_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = Self::MAX_CONNECTIONS_PER_ADDRESS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// The most streams of events that each key, or anybody where none is needed, may follow at a time.
    #[arg(long, env = "PTQD_MAX_STREAMS", value_name = "N", default_value_t = Self::MAX_STREAMS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_streams: u32,

    /// The most seconds until the head of the first request of a connection is there.
    #[arg(long, env = "PTQD_HEAD_TIMEOUT_SECONDS", value_name = "N", default_value_t = Self::HEAD_TIMEOUT_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub head_timeout_seconds: u32,

    /// The most seconds that a connection waits for another request. More than a proxy before it keeps its own.
    #[arg(long, env = "PTQD_KEEP_ALIVE_SECONDS", value_name = "N", default_value_t = Self::KEEP_ALIVE_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_alive_seconds: u32,

    /// The most seconds that a request's body is waited for, and a second more for every --body-bytes-per-second that came; and
    /// what the bytes that a client takes of an answer are counted over.
    #[arg(long, env = "PTQD_BODY_TIMEOUT_SECONDS", value_name = "N", default_value_t = Self::BODY_TIMEOUT_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub body_timeout_seconds: u32,

    /// The least bytes a second of a body that takes longer, uploads and downloads included.
    #[arg(long, env = "PTQD_BODY_BYTES_PER_SECOND", value_name = "N", default_value_t = Self::BODY_BYTES_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..))]
    pub body_bytes_per_second: u32,

    /// The most requests that are worked on at a time; more are answered 503 with `Retry-After`.
    #[arg(long, env = "PTQD_MAX_REQUESTS", value_name = "N", default_value_t = Self::MAX_REQUESTS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests: u32,

    /// The most kibibytes of a request's body, uploads excepted: a job is a description, what it works on comes by URI.
    #[arg(long, env = "PTQD_MAX_REQUEST_KIB", value_name = "N", default_value_t = Self::MAX_REQUEST_KIB, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_request_kib: u32,
    /// The most plans (`POST /v1/plans`) that are made at a time, and half as many, rounded up, for one tenant; more wait.
    #[arg(long, env = "PTQD_MAX_PLANS", value_name = "N", default_value_t = Self::MAX_PLANS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_plans: u32,

    /// The most seconds that a request is worked on before its answer begins, uploads excepted; one that takes longer is
    /// answered 503. At least 31, since `Prefer: wait` may ask for 30.
    #[arg(long, env = "PTQD_REQUEST_TIMEOUT_SECONDS", value_name = "N", default_value_t = Self::TIMEOUT_SECONDS, value_parser = clap::value_parser!(u32).range(31..))]
    pub request_timeout_seconds: u32,
}

impl HttpConfig {
    const MAX_CONNECTIONS: u32 = 1024;
    const MAX_CONNECTIONS_PER_ADDRESS: u32 = 256;
    const MAX_STREAMS: u32 = 200;
    const HEAD_TIMEOUT_SECONDS: u32 = 10;
    const KEEP_ALIVE_SECONDS: u32 = 75;
    const BODY_TIMEOUT_SECONDS: u32 = 30;
    const BODY_BYTES_PER_SECOND: u32 = 4096;
    const MAX_REQUESTS: u32 = 4096;
    const MAX_REQUEST_KIB: u32 = 64;
    const MAX_PLANS: u32 = 4;
    const TIMEOUT_SECONDS: u32 = 300;

    /// The largest body of a request, in bytes.
    pub fn largest_body(&self) -> usize {
        usize::try_from(self.max_request_kib).unwrap_or(usize::MAX).saturating_mul(1 << 10)
    }

    /// The longest that a request is worked on.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds.into())
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            cors_origins: Vec::new(),
            allow_hosts: Vec::new(),
            max_connections: Self::MAX_CONNECTIONS,
            max_connections_per_address: Self::MAX_CONNECTIONS_PER_ADDRESS,
            max_streams: Self::MAX_STREAMS,
            head_timeout_seconds: Self::HEAD_TIMEOUT_SECONDS,
            keep_alive_seconds: Self::KEEP_ALIVE_SECONDS,
            body_timeout_seconds: Self::BODY_TIMEOUT_SECONDS,
            body_bytes_per_second: Self::BODY_BYTES_PER_SECOND,
            max_requests: Self::MAX_REQUESTS,
            max_request_kib: Self::MAX_REQUEST_KIB,
            max_plans: Self::MAX_PLANS,
            request_timeout_seconds: Self::TIMEOUT_SECONDS,
        }
    }
}
