//! [`Lease`]: the right to work on a task of a job, for a while.

use std::time::Duration;

use serde_json::Value;

use super::{JobId, JobSpec, ShardOutput, Tenant};

/// The right to work on a task. It ends unless renewed, and every write of its holder checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job whose task it is.
    pub job: JobId,
    /// Which of the job's tasks; 0 is the first, or the only one.
    pub task: i64,
    /// The attempt's secret; another attempt has another one.
    pub token: String,
    /// Which attempt this is, from 1.
    pub attempt: i64,
}

/// What a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The whole job, from inputs to artifacts.
    Whole,
    /// One shard of a checkpoint whose job was fanned out.
    Shard {
        /// Which one, from 0.
        index: usize,
        /// The job's plan, as the attempt that fanned it out resolved it. As JSON, since it is only compared with the plan
        /// that this worker makes: a field of another version must make a difference, and a type would lose it.
        plan: Value,
    },
    /// What is left when all shards are done: index, configuration, report, manifest.
    Join {
        /// The job's plan, as the attempt that fanned it out resolved it.
        plan: Value,
        /// What each shard's task left, in order; none where another version wrote what this one cannot read.
        outputs: Option<Vec<ShardOutput>>,
    },
}

/// A task that a worker took.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to work on it.
    pub lease: Lease,
    /// The most attempts it gets.
    pub max_attempts: i64,
    /// Whether nothing else may run in the worker's process meanwhile: an earlier worker was lost with it.
    pub alone: bool,
    /// Whose job it is.
    pub tenant: Tenant,
    /// What the job asks for.
    pub spec: JobSpec,
    /// What is to be done of it.
    pub work: Work,
    /// How long an attempt at the whole job may take, by the request or by default.
    pub limit: Option<Duration>,
    /// How long it may take still.
    pub time_left: Option<Duration>,
}

/// What the store answers to the holder of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The lease is renewed, or stands: work on.
    Yes,
    /// The job was asked to stop.
    Cancelled,
    /// The lease is another's, or the job has ended: touch nothing.
    Lost,
}
