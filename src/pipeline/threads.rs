//! The threads of a computation.

use super::{LocalJob, PipelineError};

/// Runs something on threads of its own, as many as the engine may use.
pub(super) fn on_threads<T: Send>(
    job: &LocalJob,
    run: impl FnOnce() -> Result<T, PipelineError> + Send,
) -> Result<T, PipelineError> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(job.inputs.engine.threads)
        .thread_name(|n| format!("ptqd-compute-{n}"))
        .build()
        .map_err(|source| PipelineError::Threads { source })?;
    threads.install(run)
}
