//! [`Event`]: one line of a job's log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind of an event, and the fields of its `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The status changed: `{status}`, and `error` if it failed.
    #[serde(rename = "job.status_changed")]
    StatusChanged,
    /// A phase began: `{phase}`.
    #[serde(rename = "job.phase")]
    Phase,
    /// A phase has come further: `{phase, units_done, units_total, unit, eta_seconds}`.
    #[serde(rename = "job.progress")]
    Progress,
    /// The plan is known: `{layers_quantized, layers_native}`.
    #[serde(rename = "job.planned")]
    Planned,
    /// A shard of a job that was fanned out is done: `{shard, shards_done, shards_total}`.
    #[serde(rename = "shard.completed")]
    ShardCompleted,
    /// Something the user should know: `{code, message, pointer}`.
    #[serde(rename = "job.warning")]
    Warning,
    /// Retention has removed the artifacts: `{}`.
    #[serde(rename = "job.artifacts_expired")]
    ArtifactsExpired,
}

impl EventKind {
    /// Every kind; webhooks look up the names of theirs among them.
    pub const ALL: [EventKind; 7] = [
        EventKind::StatusChanged,
        EventKind::Phase,
        EventKind::Progress,
        EventKind::Planned,
        EventKind::ShardCompleted,
        EventKind::Warning,
        EventKind::ArtifactsExpired,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::StatusChanged => "job.status_changed",
            EventKind::Phase => "job.phase",
            EventKind::Progress => "job.progress",
            EventKind::Planned => "job.planned",
            EventKind::ShardCompleted => "shard.completed",
            EventKind::Warning => "job.warning",
            EventKind::ArtifactsExpired => "job.artifacts_expired",
        }
    }
}

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number within the job, from 1, without gaps.
    pub seq: i64,
    /// When it happened, in milliseconds since 1970, by the database's clock.
    pub at: i64,
    /// What happened, in a form of the kind's own.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// A JSON object with the fields of the kind.
    pub data: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_the_wire() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
