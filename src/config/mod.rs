//! What can be set: plain data from flags, `PTQD_…` variables and a file, passed on as values.
//!
//! The only module that reads the environment.

mod access;
mod compute;
mod file;
mod http;
mod openvino;
mod redact;
mod retention;
mod server;
mod staging;
mod storage;
mod tenants;

pub use access::AccessConfig;
pub use compute::{ComputeConfig, Isolation};
pub use file::{ConfigFileError, arguments, arguments_of, example, key};
pub use http::HttpConfig;
pub use openvino::OpenVinoMissing;
pub use redact::redacted;
pub use retention::{RetentionConfig, days};
pub use server::{ServeConfig, WorkerConfig};
pub use staging::StagingConfig;
pub use storage::{StorageConfig, hub_token};
pub use tenants::TenantConfig;
