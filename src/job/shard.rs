//! [`ShardOutput`]: what the task of a shard leaves for the one that joins them.

use serde::{Deserialize, Serialize};

use crate::pipeline::ShardDone;

/// A shard that was done, and where its file was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardOutput {
    /// What the pipeline made.
    pub done: ShardDone,
    /// The prefix of its file in the store.
    pub prefix: String,
}
