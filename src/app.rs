//! The composition root: makes stores, workers and the server from the configuration, and ends them in order.

use std::{fs, fs::File, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    api::{self, ApiState},
    config::{ServeConfig, WorkerConfig},
    job::{JobStore, RetryPolicy, StoreError},
    storage::{Artifacts, Sources, StorageError},
    store::{self, OpenError},
    worker::Workshop,
};

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder.
    #[error("the data folder {path} cannot be used", path = path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has the data folder.
    #[error("the data folder {path} is in use by another ptqd", path = path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The queue.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artifact store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Serving ended.
    #[error("serving ended")]
    Serve(#[source] io::Error),
}

/// A service that is running.
#[derive(Debug)]
pub struct App {
    /// Where the API listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), AppError>>,
    /// Held while the embedded database is ours.
    _lock: Option<File>,
}

/// The stores, shared by API and workers.
struct Stores {
    jobs: Arc<dyn JobStore>,
    artifacts: Artifacts,
    scratch: PathBuf,
    lock: Option<File>,
}

async fn open_stores(config: &WorkerConfig) -> Result<Stores, AppError> {
    let data = &config.storage.data_dir;
    let unusable = |source| AppError::DataDir { path: data.clone(), source };
    fs::create_dir_all(data).map_err(unusable)?;
    let data = data.canonicalize().map_err(unusable)?;
    let (url, embedded) = config.storage.database();
    let lock = embedded.then(|| lock(&data)).transpose()?;
    let jobs = store::open(&url).await?;
    let scratch = data.join("scratch");
    if embedded {
        // The folder is ours alone, so whoever held a lease is dead.
        jobs.end_all_leases().await?;
    }
    fs::create_dir_all(&scratch).map_err(unusable)?;
    crate::worker::sweep(&scratch, jobs.as_ref()).await.map_err(unusable)?;
    Ok(Stores { jobs, artifacts: Artifacts::local(&data.join("artifacts"))?, scratch, lock })
}

fn lock(data: &std::path::Path) -> Result<File, AppError> {
    let file =
        File::create(data.join("ptqd.lock")).map_err(|source| AppError::DataDir { path: data.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(AppError::Locked { path: data.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(AppError::DataDir { path: data.to_owned(), source }),
    }
}

fn workshop(config: &WorkerConfig, stores: &Stores, sources: &Sources, wake: &Arc<Notify>) -> Arc<Workshop> {
    Arc::new(Workshop {
        store: Arc::clone(&stores.jobs),
        artifacts: stores.artifacts.clone(),
        sources: sources.clone(),
        scratch: stores.scratch.clone(),
        engine: config.compute.engine(),
        memory_bytes: config.compute.memory_bytes(),
        lease: config.lease(),
        poll: config.poll(),
        retry: RetryPolicy::default(),
        wake: Arc::clone(wake),
    })
}

fn spawn_workers(
    tasks: &mut JoinSet<Result<(), AppError>>,
    workshop: &Arc<Workshop>,
    count: usize,
    stop: &watch::Receiver<bool>,
) {
    for n in 0..count {
        let (shop, stop) = (Arc::clone(workshop), stop.clone());
        let name = format!("{}-{n}", std::process::id());
        tasks.spawn(async move {
            shop.work(name, stop).await;
            Ok(())
        });
    }
}

impl App {
    /// Starts API and workers.
    pub async fn serve(config: &ServeConfig) -> Result<Self, AppError> {
        let stores = open_stores(&config.worker).await?;
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let roots = config.worker.storage.file_roots.clone();
        let open = !roots.is_empty() || config.listen.ip().is_loopback();
        // Beyond this machine, file:// is closed unless folders are named: an empty root of its own holds nothing.
        let sources = Sources::new(if open { roots } else { vec![stores.scratch.join("no-file-root")] });
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| AppError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(|source| AppError::Listen { address: config.listen, source })?;

        let mut tasks = JoinSet::new();
        let shop = workshop(&config.worker, &stores, &sources, &wake);
        spawn_workers(&mut tasks, &shop, config.workers, &stopped);
        let state = ApiState {
            store: stores.jobs,
            artifacts: Arc::new(stores.artifacts),
            uri_check: Arc::new(move |pointer, uri| sources.objection(pointer, uri)),
            wake,
        };
        let mut ended = stopped;
        tasks.spawn(async move {
            let router = api::router(state);
            let stop = async move {
                let _ = ended.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, router).with_graceful_shutdown(stop).await.map_err(AppError::Serve)
        });
        Ok(App { address, stop, tasks, _lock: stores.lock })
    }

    /// Starts workers alone.
    pub async fn work(config: &WorkerConfig, count: usize) -> Result<Self, AppError> {
        let stores = open_stores(config).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let sources = Sources::new(config.storage.file_roots.clone());
        let shop = workshop(config, &stores, &sources, &Arc::new(Notify::new()));
        spawn_workers(&mut tasks, &shop, count, &stopped);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(App { address, stop, tasks, _lock: stores.lock })
    }

    /// Waits for a signal to end, or for a part to fail.
    pub async fn run(mut self) -> Result<(), AppError> {
        tokio::select! {
            () = signalled() => tracing::info!("stopping: jobs in hand go back to the queue"),
            Some(ended) = self.tasks.join_next() => if let Ok(Err(error)) = ended {
                self.shut_down().await;
                return Err(error);
            },
        }
        self.shut_down().await;
        Ok(())
    }

    /// Ends workers, then connections; open streams are cut after a while.
    pub async fn shut_down(mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

/// Resolves on SIGTERM or SIGINT.
async fn signalled() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => return tracing::error!(%error, "SIGTERM cannot be handled"),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
