//! What an attempt leaves, or why it leaves nothing.

use crate::{
    job::{Failure, ShardOutput},
    pipeline::{Finished, ShardDone},
};

/// What a computation made.
#[derive(Debug)]
pub(super) enum TaskOutput {
    /// The files of a whole job.
    Whole(Finished),
    /// The files of a job beside the shards, which were published before.
    Joined(Finished, Vec<ShardOutput>),
    /// One shard of a job that was fanned out, for the join.
    Shard(Box<ShardDone>),
    /// The job is to be taken apart into shards of so many bytes.
    Apart(Vec<u64>),
}

/// Why an attempt left nothing.
#[derive(Debug)]
pub(super) struct TaskError {
    pub(super) failure: Failure,
    /// The memory that it would need, if that is why.
    pub(super) needs_bytes: Option<u64>,
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        TaskError { failure, needs_bytes: None }
    }
}
