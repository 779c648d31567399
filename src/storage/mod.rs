//! Where inputs come from and artifacts go: the only place that knows URIs and object stores.
//!
//! | | |
//! |---|---|
//! | `inputs` | from a URI to a local path: which may be read, and how they are brought |
//! | `places` | what can be read from: buckets, web servers, a model hub. One file each, and an arm of `inputs/location.rs` and `inputs/sources.rs` |
//! | `artifacts` | where results go |
//! | `uploads` | what clients bring to the service itself |
//!
//! `inputs` names `artifacts`, `artifacts` names `places`, and none the other way round.

mod artifacts;
mod error;
mod inputs;
mod places;
mod stop;
mod uploads;

pub use artifacts::Artifacts;
pub use error::StorageError;
pub use inputs::{
    Cache, IncomingShards, LocalFiles, OpenBuckets, ParseRuleError, Patience, ReadCompanions, ReadHere, RemoteShards,
    Rule, SCHEMES, Sources, Staged, Stager, Want,
};
pub use places::{HubConfig, Pace};
