//! Checkpoints: shard by shard into the layout asked for, with index, configuration and side files.

mod assemble;
mod choose;
mod config;
mod inventory;
mod journal;
mod lanes;
mod opened;
mod prepared;
mod shard_layout;
mod shard_run;
mod side_files;

pub use journal::JOURNAL;

pub(super) use self::opened::OpenedCheckpoint;
