//! What an attempt leaves.

use crate::{compute::Done, job::ShardOutput, pipeline::ShardDone};

/// What a computation made.
#[derive(Debug)]
pub(super) enum TaskOutput {
    /// The files of a job; its shards, if there are any, were published before.
    Job(Done, Vec<ShardOutput>),
    /// One shard of a job that was fanned out, for the join.
    Shard(Box<ShardDone>),
    /// The job is to be taken apart into shards of so many bytes.
    Apart(Vec<u64>),
}
