//! [`stage`]: a job's inputs from their URIs to local paths.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    backend::{DataSource, Evaluation, RunInputs},
    control::MemoryBudget,
    engine::EngineConfig,
    job::JobSpec,
    pipeline::LocalJob,
    storage::{Cache, RemoteShards, Stager, StorageError, Want},
};

/// Samples per forward pass where neither the job nor the model says.
const DEFAULT_BATCH: usize = 8;

/// Brings the inputs of a job. Of a checkpoint of several shards that are elsewhere, these are still to be brought.
pub(super) async fn stage(
    stager: &Stager<'_>,
    spec: JobSpec,
    want: Want,
    engine: EngineConfig,
    memory_bytes: u64,
) -> Result<(LocalJob, Option<RemoteShards>), StorageError> {
    let checked = spec.check();
    let mut origins = BTreeMap::new();
    let model = stager.bring("model", &spec.model.uri, want).await?;
    origins.extend(model.origin.map(|origin| ("model", origin)));
    let source = |path, max: Option<u32>, batch: Option<u32>, preprocess| DataSource {
        path,
        max_samples: max.map(|n| n as usize),
        batch_size: batch.map_or(DEFAULT_BATCH, |n| n as usize),
        preprocess,
    };
    let mut calibration = None;
    if let Some(c) = &spec.calibration {
        let staged = stager.bring("calibration", &c.uri, Want::Data).await?;
        origins.extend(staged.origin.map(|origin| ("calibration", origin)));
        calibration = Some(source(staged.path, c.max_samples, c.batch_size, c.preprocess.clone()));
    }
    let mut evaluation = None;
    if let Some(e) = &spec.evaluation {
        let same = spec.calibration.as_ref().filter(|c| c.uri == e.uri).and(calibration.as_ref());
        let path = match same {
            Some(calibration) => {
                origins.extend(origins.get("calibration").cloned().map(|origin| ("evaluation", origin)));
                calibration.path.clone()
            }
            None => {
                let staged = stager.bring("evaluation", &e.uri, Want::Data).await?;
                origins.extend(staged.origin.map(|origin| ("evaluation", origin)));
                staged.path
            }
        };
        let data = source(path, e.max_samples, e.batch_size, e.preprocess.clone());
        evaluation = Some(Evaluation { data, labels: e.labels.clone() });
    }
    let memory = Arc::new(MemoryBudget::new(memory_bytes));
    let job = LocalJob {
        model: model.path,
        inputs: RunInputs {
            calibration,
            evaluation,
            engine,
            memory,
            statistics: stager.cache.map(Cache::statistics),
            digests: BTreeMap::new(),
        },
        spec: checked.quantize,
        warnings: checked.warnings,
        quality_gate: spec.quality_gate,
        digests: true,
        origins,
    };
    Ok((job, model.shards))
}
