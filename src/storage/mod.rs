//! Where inputs come from and artifacts go: the only place that knows URIs and object stores.
//!
//! Inputs: [`Sources`] says which URIs a tenant may read, [`Stager`] brings what they name. A kind of place (bucket, web
//! server, hub) is one file and an arm of `scheme.rs` and `sources.rs`. Results: [`Artifacts`].

mod allow;
mod artifacts;
mod bucket;
mod cache;
mod error;
mod fetch;
mod hub;
mod multipart;
mod place;
mod scheme;
mod shards;
mod sources;
mod stage;
mod uploads;
mod web;

pub use allow::{ParseRuleError, Rule};
pub use artifacts::Artifacts;
pub use cache::Cache;
pub use error::StorageError;
pub use hub::HubConfig;
pub use scheme::SCHEMES;
pub use shards::RemoteShards;
pub use sources::{OpenBuckets, Sources};
pub use stage::{Staged, Stager, Want};
