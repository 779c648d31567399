//! [`ShardDone`]: a shard after its work, on whichever machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{backend::ShardPart, report::Artifact};

/// What a shard leaves for the join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardDone {
    /// What the backend needs of it for the join.
    pub part: ShardPart,
    /// Name, size and digest of the file that was written.
    pub artifact: Artifact,
    /// Size and digest of the file that it was made from, as the manifest lists it.
    pub input: Value,
    /// How long it took.
    pub seconds: f64,
    /// The version that made it.
    pub ptqd_version: String,
}
