//! From a URI to a local path: [`Sources`] says which a tenant may read, [`Stager`] brings what it names.

mod cache;
mod companions;
mod disk;
mod files;
mod incoming;
mod location;
mod names;
mod remote;
mod rules;
mod shards;
mod sink;
mod sources;
mod stage;
mod transfer;
mod tries;

pub use cache::Cache;
pub use companions::{ReadCompanions, ReadHere};
pub use files::LocalFiles;
pub use incoming::IncomingShards;
pub use location::SCHEMES;
pub use remote::Want;
pub use rules::{ParseRuleError, Rule};
pub use shards::RemoteShards;
pub use sources::{OpenBuckets, Patience, Sources};
pub use stage::{Staged, Stager};
