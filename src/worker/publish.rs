//! [`Publisher`]: what an attempt made, into the artifact store.

use std::{fs, path::PathBuf, slice};

use super::output::TaskOutput;
use crate::{
    compute::Done,
    control::{Canceller, Control, Notice, Phase},
    job::{Failure, Finish, JobResult, ShardOutput, StoredArtifact},
    report::Artifact,
    storage::{Artifacts, StorageError},
};

/// Publishes files of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) artifacts: Artifacts,
    /// Where in the store: a place of the attempt's own.
    pub(super) prefix: String,
    /// Where the files are.
    pub(super) folder: PathBuf,
    pub(super) canceller: Canceller,
}

impl Publisher {
    /// Publishes what was computed. The end of the attempt.
    pub(super) async fn publish_output(&self, output: TaskOutput, control: &Control<'_>) -> Result<Finish, Failure> {
        match output {
            TaskOutput::Apart(bytes) => Ok(Finish::FanOut(bytes)),
            TaskOutput::Shard(done) => {
                self.publish_all(slice::from_ref(&done.artifact)).await?;
                Ok(Finish::ShardDone(Box::new(ShardOutput { done: *done, prefix: self.prefix.clone() })))
            }
            TaskOutput::Job(done, shards) => self.publish_job(done, &shards, control).await,
        }
    }

    /// Publishes the files of a job, but for the shards that were published before.
    async fn publish_job(&self, done: Done, shards: &[ShardOutput], control: &Control<'_>) -> Result<Finish, Failure> {
        control.notify(Notice::Phase(Phase::Publishing));
        let elsewhere = |artifact: &Artifact| shards.iter().find(|shard| shard.done.artifact.name == artifact.name);
        let here: Vec<Artifact> =
            done.artifacts.iter().filter(|artifact| elsewhere(artifact).is_none()).cloned().collect();
        self.publish_all(&here).await?;
        let stored = |artifact: &Artifact| StoredArtifact {
            artifact: artifact.clone(),
            prefix: elsewhere(artifact).map(|shard| shard.prefix.clone()).filter(|other| *other != self.prefix),
        };
        Ok(Finish::Succeeded(JobResult {
            artifacts: done.artifacts.iter().map(stored).collect(),
            summary: done.summary,
            quality_gate: done.quality_gate,
            prefix: self.prefix.clone(),
        }))
    }

    /// Publishes some files, or nothing of the attempt.
    async fn publish_all(&self, files: &[Artifact]) -> Result<(), Failure> {
        let published = self.artifacts.publish(&self.prefix, &self.folder, files, &self.canceller).await;
        if published.is_err() {
            self.artifacts.discard(&self.prefix).await;
        }
        published.map_err(|error| Failure::new(&error, Some(Phase::Publishing)))
    }

    /// Publishes a file and removes it here.
    pub(super) async fn publish_away(&self, file: &Artifact) -> Result<(), StorageError> {
        self.artifacts.publish(&self.prefix, &self.folder, slice::from_ref(file), &self.canceller).await?;
        let path = self.folder.join(&file.name);
        // The scratch folder goes in the end, whatever is left of it.
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a published shard stays until the job ends");
        }
        Ok(())
    }
}
