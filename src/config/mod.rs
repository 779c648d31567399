//! What can be set: plain data from flags and `PTQD_…` variables, passed on as values.
//!
//! The only module that reads the environment.

mod access;
mod compute;
mod retention;
mod server;
mod storage;

pub use access::AccessConfig;
pub use compute::ComputeConfig;
pub use retention::{RetentionConfig, days};
pub use server::{ServeConfig, WorkerConfig};
pub use storage::StorageConfig;
