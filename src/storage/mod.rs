//! Where inputs come from and artifacts go: the only place that knows URIs and object stores.

mod artifacts;
mod error;
mod scheme;

pub use artifacts::Artifacts;
pub use error::StorageError;
pub use scheme::{SCHEMES, Sources};
