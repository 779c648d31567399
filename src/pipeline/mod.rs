//! One job from local inputs to a folder of artifacts: plan, run, report, manifest.
//!
//! Synchronous and local. Knows nothing of queues, stores or URIs; the command line and the workers both call it.

mod error;
mod finish;
mod json_file;
mod local;
mod manifest;
mod phases;
mod planned;
mod process;
mod run;
mod shard_done;
mod shards;
mod summary;
mod threads;
mod written;

pub use error::PipelineError;
pub use local::{Finished, LocalJob};
pub use planned::{PlannedJob, Purpose, plan};
pub use run::run;
pub use shard_done::ShardDone;
pub use shards::{ShardPipeline, join, run_shard, run_streamed};
