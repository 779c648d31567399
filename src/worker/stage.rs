//! [`stage`]: a job's inputs from their URIs to local paths.

use std::time::Duration;

use crate::{
    job::{InputFiles, JobSpec},
    storage::{RemoteShards, Stager, StorageError, Want},
};

/// The same within so long.
pub(super) async fn stage_within(
    limit: Option<Duration>,
    stager: &Stager<'_>,
    spec: &JobSpec,
    want: Want,
) -> Result<(InputFiles, Option<RemoteShards>), StorageError> {
    let Some(limit) = limit else { return stage(stager, spec, want).await };
    let overdue = |_| StorageError::Overdue { seconds: limit.as_secs() };
    tokio::time::timeout(limit, stage(stager, spec, want)).await.map_err(overdue)?
}

/// Brings the inputs of a job. Of a checkpoint of several shards that are elsewhere, these are still to be brought.
async fn stage(
    stager: &Stager<'_>,
    spec: &JobSpec,
    want: Want,
) -> Result<(InputFiles, Option<RemoteShards>), StorageError> {
    let mut files = InputFiles::default();
    let model = stager.bring("model", &spec.model.uri, want).await?;
    files.origins.extend(model.origin.map(|origin| ("model", origin)));
    files.digests.extend(model.digests);
    files.model = model.path;
    if let Some(data) = &spec.calibration {
        let staged = stager.bring("calibration", &data.uri, Want::Data).await?;
        files.origins.extend(staged.origin.map(|origin| ("calibration", origin)));
        files.digests.extend(staged.digests);
        files.calibration = Some(staged.path);
    }
    if let Some(data) = &spec.evaluation {
        let same = spec.calibration.as_ref().is_some_and(|calibration| calibration.uri == data.uri);
        if same {
            files.origins.extend(files.origins.get("calibration").cloned().map(|origin| ("evaluation", origin)));
            files.evaluation.clone_from(&files.calibration);
        } else {
            let staged = stager.bring("evaluation", &data.uri, Want::Data).await?;
            files.origins.extend(staged.origin.map(|origin| ("evaluation", origin)));
            files.digests.extend(staged.digests);
            files.evaluation = Some(staged.path);
        }
    }
    Ok((files, model.shards))
}
