//! [`Resources`]: database, artifacts and folders, opened as the configuration says.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use super::error::AppError;
use crate::{
    config::{StorageConfig, WorkerConfig, hub_token},
    database::{self, Database},
    outbound::Guard,
    storage::{Artifacts, Cache, HubConfig, LocalFiles, Pace, Patience, Rule, Sources},
    worker,
};

/// What API and workers share.
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

/// What is open without a setting that names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Every file of this machine. Only where whoever asks sits at it: no other machine, no keys, no shared database.
    pub(super) files: bool,
    /// Every bucket that the process has credentials for.
    pub(super) buckets: bool,
}

impl Resources {
    /// Opens database, artifact store and folders. Of an embedded database it ends all leases; their holders are dead.
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
            // The folder is ours alone, so every holder of a lease is dead.
            database.upkeep.end_all_leases().await?;
        }
        fs::create_dir_all(&scratch).map_err(unusable)?;
        worker::sweep(&scratch, database.upkeep.as_ref()).await.map_err(unusable)?;
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

    /// Where inputs may come from. `open` says what is open of what no setting names.
    pub(super) fn sources(&self, config: &StorageConfig, open: Open) -> Result<Sources, AppError> {
        let every = open.files && config.file_roots.is_empty();
        let files = if every { LocalFiles::Every } else { LocalFiles::below(config.file_roots.clone()) };
        // What is kept for tenants is for no one to name by its path.
        let own = [Some(config.data_dir.as_path()), self.artifacts.folder()];
        let files = own.into_iter().flatten().fold(files, LocalFiles::except);
        let rules: Result<Vec<Rule>, _> = config.allow_sources.iter().map(|rule| rule.parse()).collect();
        Ok(Sources {
            rules: rules?,
            files,
            remote_open: open.buckets,
            guard: Guard { private: config.sources_private },
            hub: HubConfig { endpoint: config.hub_endpoint.clone(), token: hub_token() },
            uploads: Some(self.artifacts.clone()),
            max_bytes: config.max_input_mib.saturating_mul(1 << 20),
            patience: Patience {
                job: Some(config.staging.job()),
                plan: Some(config.staging.plan()),
                pace: Pace { least: config.staging.input_rate, window: config.staging.window() },
            },
            ..Sources::default()
        })
    }
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
