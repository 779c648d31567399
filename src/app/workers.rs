//! The workers of this process, and the janitor that comes with them.

use std::{fs, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{error::AppError, resources::Resources};
use crate::{
    backend::BACKENDS,
    compute::Compute,
    config::{RetentionConfig, WorkerConfig, days},
    engine::{self, EngineConfig},
    fault::chain,
    job::{RetryPolicy, Worker},
    storage::Sources,
    worker::{Janitor, ProcessLock, Retention, WorkerContext},
};

/// The tasks of the process, which end when it stops or when one fails.
pub(super) type Tasks = JoinSet<Result<(), AppError>>;

impl Resources {
    /// Starts `count` workers and a janitor.
    pub(super) fn spawn_workers(
        &self,
        tasks: &mut Tasks,
        config: &WorkerConfig,
        count: usize,
        sources: &Sources,
        compute: &Compute,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let engine = config.compute.engine()?;
        let backends = backends(&engine, self.embedded());
        let memory_bytes = engine.memory;
        let context = self.context(config, sources, compute, engine);
        for n in 0..count {
            let (ctx, stop) = (Arc::clone(&context), stop.clone());
            let name = format!("{}-{}-{n}", host(), std::process::id());
            let who = Worker {
                name,
                memory_bytes,
                backends: backends.clone(),
                tenant_limit: config.tenant_limit,
                default_timeout: config.default_timeout(),
                alone: false,
            };
            tasks.spawn(async move {
                ctx.work(who, stop).await;
                Ok(())
            });
        }
        let (janitor, stop) = (self.janitor(&config.retention), stop.clone());
        tasks.spawn(async move {
            janitor.work(stop).await;
            Ok(())
        });
        Ok(())
    }

    fn context(
        &self,
        config: &WorkerConfig,
        sources: &Sources,
        compute: &Compute,
        engine: EngineConfig,
    ) -> Arc<WorkerContext> {
        Arc::new(WorkerContext {
            queue: Arc::clone(&self.database.queue),
            fleet: Arc::clone(&self.database.fleet),
            upkeep: Arc::clone(&self.database.upkeep),
            jobs: Arc::clone(&self.database.jobs),
            artifacts: self.artifacts.clone(),
            sources: sources.clone(),
            cache: self.cache.clone(),
            compute: compute.clone(),
            scratch: self.scratch.clone(),
            engine,
            memory_bytes: config.compute.memory_bytes(),
            fan_out_bytes: config.fan_out_mib.saturating_mul(1 << 20),
            lease: config.lease(),
            poll: config.poll(),
            lock: ProcessLock::default(),
            retry: RetryPolicy::default(),
        })
    }

    fn janitor(&self, config: &RetentionConfig) -> Janitor {
        let retention = Retention {
            artifacts: days(config.keep_artifacts_days),
            events: days(config.keep_events_days),
            uploads: days(config.keep_uploads_days),
        };
        let ages = [retention.artifacts, retention.events, retention.uploads];
        let shortest = ages.into_iter().flatten().min().unwrap_or(Duration::MAX);
        // Often enough for what it promises, and not so often that it is felt.
        let every = shortest.clamp(Duration::from_secs(1), Duration::from_secs(3600));
        Janitor { upkeep: Arc::clone(&self.database.upkeep), artifacts: self.artifacts.clone(), retention, every }
    }
}

/// The backends that this process can run. One that is alone takes every job, so that the error says what is missing.
fn backends(engine: &EngineConfig, alone: bool) -> Vec<&'static str> {
    let all = BACKENDS.iter().map(|backend| backend.capabilities());
    let runs = alone || {
        let available = engine::available(engine);
        if let Err(error) = &available {
            tracing::warn!(error = chain(error), "jobs that run models are left to other workers");
        }
        available.is_ok()
    };
    all.filter(|capabilities| runs || !capabilities.needs_engine).map(|capabilities| capabilities.name).collect()
}

/// The machine's name, for the list of workers; `worker` where the kernel has none.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "worker".to_owned() } else { name.trim().to_owned() }
}
