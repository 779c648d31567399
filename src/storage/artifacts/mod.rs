//! The store of results: a folder or a bucket.

mod multipart;
mod publish;
mod read;
mod store;
mod sweep;

pub use store::Artifacts;
