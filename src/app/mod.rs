//! The composition root: makes stores, workers and the server from the configuration, and ends them in order.

mod error;
mod services;

use std::{fs::File, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub use error::AppError;

use self::services::{LocalPlanner, Resources, access, disk};
use crate::{
    api::{self, Access, ApiState},
    config::{ServeConfig, WorkerConfig},
    job::QueueStats,
    outbound::{Guard, Sender},
    telemetry::{self, QueueFigures},
    traces,
};

/// A service that is running.
#[derive(Debug)]
pub struct App {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Whether an API key is needed.
    pub needs_key: bool,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), AppError>>,
    /// Held while the embedded database is ours.
    _lock: Option<File>,
}

impl App {
    /// Starts API and workers.
    pub async fn serve(config: &ServeConfig) -> Result<Self, AppError> {
        let stores = Resources::open(&config.worker).await?;
        let (stop, stopped) = watch::channel(false);
        let sources = stores.sources(&config.worker.storage, config.listen.ip().is_loopback())?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| AppError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(|source| AppError::Listen { address: config.listen, source })?;

        let mut tasks = JoinSet::new();
        if config.workers > 0 {
            stores.spawn_workers(&mut tasks, (&config.worker, config.workers), &sources, &stopped);
        }
        let guard = Guard { private: config.worker.retention.webhooks_private };
        let (access, limits) = access(config, &stores);
        let needs_key = matches!(access, Access::Keys(..));
        let folders: Vec<_> =
            stores.artifacts.folder().into_iter().chain([&*stores.scratch]).map(Path::to_owned).collect();
        let state = ApiState {
            jobs: Arc::clone(&stores.database.jobs),
            artifacts: Arc::new(stores.artifacts.clone()),
            webhooks: Arc::clone(&stores.database.webhooks),
            keys: Arc::clone(&stores.database.keys),
            planner: Arc::new(LocalPlanner {
                sources: sources.clone(),
                cache: stores.cache.clone(),
                scratch: stores.scratch.clone(),
                engine: config.worker.compute.engine(),
                places: Semaphore::new(2),
            }),
            access,
            limits,
            uploads: Arc::new(stores.artifacts.clone()),
            largest_upload: config.max_upload_mib.saturating_mul(1 << 20),
            uri_check: Arc::new(move |tenant, pointer, uri| sources.objection(tenant, pointer, uri)),
            webhook_url_check: Arc::new(move |url| guard.check(url)),
            disk: Arc::new(move || folders.iter().try_for_each(|folder| disk(folder))),
            metrics: Arc::new(figures),
            answered: Arc::new(telemetry::answered),
            adopt: Arc::new(traces::adopt),
            draining: stopped.clone(),
        };
        let sender =
            Sender { webhooks: Arc::clone(&stores.database.webhooks), jobs: Arc::clone(&stores.database.jobs), guard };
        let sending = stopped.clone();
        tasks.spawn(async move {
            sender.work(sending).await;
            Ok(())
        });
        let mut ended = stopped;
        tasks.spawn(async move {
            let router = api::router(state);
            let stop = async move {
                let _ = ended.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, router).with_graceful_shutdown(stop).await.map_err(AppError::Serve)
        });
        Ok(App { address, needs_key, stop, tasks, _lock: stores.lock })
    }

    /// Starts workers alone.
    pub async fn work(config: &WorkerConfig, count: usize) -> Result<Self, AppError> {
        let stores = Resources::open(config).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        // The server has looked at every job already.
        let sources = stores.sources(&config.storage, true)?;
        stores.spawn_workers(&mut tasks, (config, count), &sources, &stopped);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(App { address, needs_key: false, stop, tasks, _lock: stores.lock })
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

fn figures(queue: &QueueStats) -> String {
    telemetry::render(&QueueFigures {
        jobs: queue.jobs.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
        waiting: queue.tasks_waiting,
        running: queue.tasks_running,
        oldest: Duration::from_millis(u64::try_from(queue.oldest_wait).unwrap_or(0)),
        workers: queue.workers,
    })
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
