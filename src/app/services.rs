//! The parts that servers and workers are made of.

use std::{
    fs::{self, File},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::AppError;
use crate::{
    api::{Access, Limits},
    backend::BACKENDS,
    config::{AccessConfig, ServeConfig, StorageConfig, WorkerConfig, days, hub_token},
    database::{self, Database},
    engine::{self, EngineConfig},
    fault::chain,
    job::{DryRun, Failure, JobSpec, Planner, RetryPolicy, Tenant, Worker},
    outbound::{Guard, OpenId},
    storage::{Artifacts, Cache, HubConfig, Rule, Sources},
    worker::{self, Janitor, Retention, WorkerContext},
};

/// The stores, shared by API and workers.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) database: Database,
    pub(super) artifacts: Artifacts,
    pub(super) scratch: PathBuf,
    /// Inputs that were brought before.
    pub(super) cache: Option<Cache>,
    /// Held while the embedded database is ours.
    pub(super) lock: Option<File>,
}

impl Resources {
    /// Opens them.
    pub(super) async fn open(config: &WorkerConfig) -> Result<Self, AppError> {
        let data = &config.storage.data_dir;
        let unusable = |source| AppError::DataDir { path: data.clone(), source };
        fs::create_dir_all(data).map_err(unusable)?;
        let data = data.canonicalize().map_err(unusable)?;
        let (url, embedded) = config.storage.database();
        let lock = embedded.then(|| lock(&data)).transpose()?;
        let database = database::open(&url, config.storage.database_connections).await?;
        let scratch = data.join("scratch");
        if embedded {
            // The folder is ours alone, so whoever held a lease is dead.
            database.queue.end_all_leases().await?;
        }
        fs::create_dir_all(&scratch).map_err(unusable)?;
        worker::sweep(&scratch, database.queue.as_ref()).await.map_err(unusable)?;
        let links = config.storage.presign_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let artifacts = Artifacts::open(&config.storage.artifacts())?.with_links(links);
        let limit = config.storage.input_cache_mib.saturating_mul(1 << 20);
        let cache = (limit > 0).then(|| Cache::open(&data.join("cache"), limit)).transpose().map_err(unusable)?;
        Ok(Resources { database, artifacts, scratch, cache, lock })
    }

    /// Whether the database is this process's own.
    pub(super) fn embedded(&self) -> bool {
        self.lock.is_some()
    }

    /// Where inputs may come from. `open` says whether what no setting names is: local files, and buckets.
    pub(super) fn sources(&self, config: &StorageConfig, open: bool) -> Result<Sources, AppError> {
        // An empty root of its own holds nothing.
        let closed = || vec![self.scratch.join("no-file-root")];
        let roots = if open || !config.file_roots.is_empty() { config.file_roots.clone() } else { closed() };
        let rules: Result<Vec<Rule>, _> = config.allow_sources.iter().map(|rule| rule.parse()).collect();
        let sources = Sources {
            rules: rules?,
            remote_open: open,
            guard: Guard { private: config.sources_private },
            hub: HubConfig { endpoint: config.hub_endpoint.clone(), token: hub_token() },
            uploads: Some(self.artifacts.clone()),
            max_bytes: config.max_input_mib.saturating_mul(1 << 20),
            ..Sources::default()
        };
        Ok(sources.with_roots(roots))
    }

    fn context(&self, config: &WorkerConfig, sources: &Sources, engine: EngineConfig) -> Arc<WorkerContext> {
        Arc::new(WorkerContext {
            queue: Arc::clone(&self.database.queue),
            jobs: Arc::clone(&self.database.jobs),
            artifacts: self.artifacts.clone(),
            sources: sources.clone(),
            cache: self.cache.clone(),
            scratch: self.scratch.clone(),
            engine,
            memory_bytes: config.compute.memory_bytes(),
            fan_out_bytes: config.fan_out_mib.saturating_mul(1 << 20),
            lease: config.lease(),
            poll: config.poll(),
            retry: RetryPolicy::default(),
        })
    }

    /// Starts workers, and the janitor with them.
    pub(super) fn spawn_workers(
        &self,
        tasks: &mut JoinSet<Result<(), AppError>>,
        (config, count): (&WorkerConfig, usize),
        sources: &Sources,
        stop: &watch::Receiver<bool>,
    ) {
        let engine = config.compute.engine();
        let backends = backends(&engine, self.embedded());
        let memory_bytes = engine.memory;
        let context = self.context(config, sources, engine);
        for n in 0..count {
            let (ctx, stop) = (Arc::clone(&context), stop.clone());
            let name = format!("{}-{}-{n}", host(), std::process::id());
            let who = Worker { name, memory_bytes, backends: backends.clone(), tenant_limit: config.tenant_limit };
            tasks.spawn(async move {
                ctx.work(who, stop).await;
                Ok(())
            });
        }
        let retention = Retention {
            artifacts: days(config.retention.keep_artifacts_days),
            events: days(config.retention.keep_events_days),
            uploads: days(config.retention.keep_uploads_days),
        };
        // Often enough for what it promises, and not so often that it is felt.
        let shortest = [retention.artifacts, retention.events, retention.uploads]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Duration::MAX);
        let every = shortest.clamp(Duration::from_secs(1), Duration::from_secs(3600));
        let (queue, artifacts) = (Arc::clone(&self.database.queue), self.artifacts.clone());
        let janitor = Janitor { queue, artifacts, retention, every };
        let stop = stop.clone();
        tasks.spawn(async move {
            janitor.work(stop).await;
            Ok(())
        });
    }
}

/// The backends that this process can run. One that is alone takes every job, so that its user hears what is missing.
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

/// The machine's name.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "worker".to_owned() } else { name.trim().to_owned() }
}

fn lock(data: &Path) -> Result<File, AppError> {
    let file =
        File::create(data.join("ptqd.lock")).map_err(|source| AppError::DataDir { path: data.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(AppError::Locked { path: data.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(AppError::DataDir { path: data.to_owned(), source }),
    }
}

/// Who may come in, and how often.
pub(super) fn access(config: &ServeConfig, stores: &Resources) -> (Access, Option<Arc<Limits>>) {
    let AccessConfig { no_auth, oidc_issuer, oidc_audience, oidc_tenant_claim, rate_limit } = &config.access;
    let alone = stores.embedded() && config.listen.ip().is_loopback();
    let tokens = oidc_issuer.as_ref().zip(oidc_audience.as_ref());
    let limit = |per_second: u32| NonZeroU32::new(per_second).map(|limit| Arc::new(Limits::new(limit)));
    if *no_auth || (alone && tokens.is_none()) {
        return (Access::Open, rate_limit.and_then(limit));
    }
    let tokens = tokens.map(|(issuer, audience)| Arc::new(OpenId::new(issuer, audience, oidc_tenant_claim)) as _);
    (Access::Keys(Arc::clone(&stores.database.keys), tokens), limit(rate_limit.unwrap_or(100)))
}

/// Makes plans in this process, a few at a time: a graph is read into memory for each.
#[derive(Debug)]
pub(super) struct LocalPlanner {
    pub(super) sources: Sources,
    pub(super) cache: Option<Cache>,
    pub(super) scratch: PathBuf,
    pub(super) engine: EngineConfig,
    pub(super) places: Semaphore,
}

#[async_trait]
impl Planner for LocalPlanner {
    async fn plan(&self, tenant: &Tenant, spec: JobSpec) -> Result<DryRun, Failure> {
        let busy = || Failure::plain("plan_unavailable", "the plan could not be made", true);
        let _place = self.places.acquire().await.map_err(|_| busy())?;
        let places = (&self.sources, self.cache.as_ref(), self.scratch.as_path());
        worker::dry_run(places, tenant, spec, self.engine.clone()).await
    }
}

/// What is wrong with the disk that a folder is on, if there is anything.
pub(super) fn disk(folder: &Path) -> Result<(), String> {
    const LEAST: u64 = 64 << 20;
    let free = rustix::fs::statvfs(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let bytes = free.f_bavail.saturating_mul(free.f_frsize);
    if bytes < LEAST { Err(format!("{} MiB are free", bytes >> 20)) } else { Ok(()) }
}
