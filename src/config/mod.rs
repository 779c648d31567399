//! What can be set: plain data from flags and `PTQD_…` variables, passed on as values.
//!
//! The only module that reads the environment.

mod compute;
mod server;
mod storage;

pub use compute::ComputeConfig;
pub use server::{ServeConfig, WorkerConfig};
pub use storage::StorageConfig;
