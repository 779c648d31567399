//! The composition root: makes stores, workers and the server from the configuration, and ends them in order.

mod access;
mod compute;
mod disk;
mod error;
mod http;
mod places;
mod planner;
mod policies;
mod resources;
mod telemetry;
mod workers;

use std::{fs::File, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub use compute::make as make_compute;
pub use error::AppError;

use self::{
    disk::Disks,
    places::PlanPlaces,
    planner::LocalPlanner,
    resources::{Open, Resources},
    telemetry::ProcessTelemetry,
    workers::Tasks,
};
use crate::{
    api::{self, Access, ApiState, Limits, Shares},
    compute::{Compute, IsolationReport},
    config::{ServeConfig, WorkerConfig},
    outbound::{Guard, Sender},
    storage::Sources,
};

/// A service that is running.
#[derive(Debug)]
pub struct App {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Whether an API key is needed.
    pub needs_key: bool,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    /// Held while the embedded database is ours.
    _lock: Option<File>,
}

impl App {
    /// Starts API and workers.
    pub async fn serve(config: &ServeConfig) -> Result<Self, AppError> {
        let settings = http::settings(&config.http, config.listen)?;
        let resources = Resources::open(&config.worker).await?;
        let (compute, isolation) = compute::start(&config.worker.compute).await?;
        let (stop, stopped) = watch::channel(false);
        let loopback = config.listen.ip().is_loopback();
        let (access, limits) = access::access(config, &resources);
        let needs_key = matches!(access, Access::Keys(..));
        access::warn_of_keys(&access, &resources).await;
        let open = Open { files: loopback && resources.embedded() && !needs_key, buckets: loopback };
        let sources = resources.sources(&config.worker.storage, open)?;
        let unheard = |source| AppError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(unheard)?;
        let address = listener.local_addr().map_err(unheard)?;

        let mut tasks = JoinSet::new();
        if config.workers > 0 {
            resources.spawn_workers(&mut tasks, &config.worker, config.workers, &sources, &compute, &stopped)?;
        }
        let guard = Guard { private: config.worker.retention.webhooks_private };
        let sender = Sender {
            webhooks: Arc::clone(&resources.database.webhooks),
            jobs: Arc::clone(&resources.database.jobs),
            guard,
        };
        let sending = stopped.clone();
        tasks.spawn(async move {
            sender.work(sending).await;
            Ok(())
        });
        let computing = (compute, &isolation);
        let state = api_state(config, &resources, (access, limits), sources, computing, guard, stopped.clone())?;
        let (connections, mut ended) = (http::connections(&config.http), stopped);
        tasks.spawn(async move {
            let router = api::router(state, &settings);
            let stop = async move {
                let _ = ended.wait_for(|stop| *stop).await;
            };
            api::serve(listener, router, connections, stop).await;
            Ok(())
        });
        Ok(App { address, needs_key, stop, tasks, _lock: resources.lock })
    }

    /// Starts `count` workers in this process, without an API.
    pub async fn work(config: &WorkerConfig, count: usize) -> Result<Self, AppError> {
        let resources = Resources::open(config).await?;
        let (compute, _) = compute::start(&config.compute).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        // The server knows which buckets each tenant may read, and has looked at every job. Files are this machine's own.
        let sources = resources.sources(&config.storage, Open { files: false, buckets: true })?;
        resources.spawn_workers(&mut tasks, config, count, &sources, &compute, &stopped)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(App { address, needs_key: false, stop, tasks, _lock: resources.lock })
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

fn api_state(
    config: &ServeConfig,
    resources: &Resources,
    (access, limits): (Access, Option<Arc<Limits>>),
    sources: Sources,
    (compute, isolation): (Compute, &IsolationReport),
    guard: Guard,
    draining: watch::Receiver<bool>,
) -> Result<ApiState, AppError> {
    let folders = resources.artifacts.folder().into_iter().chain([&*resources.scratch]).map(Path::to_owned);
    Ok(ApiState {
        jobs: Arc::clone(&resources.database.jobs),
        artifacts: Arc::new(resources.artifacts.clone()),
        uploads: Arc::new(resources.artifacts.clone()),
        largest_body: config.http.largest_body(),
        quotas: config.access.tenants.quotas(matches!(access, Access::Keys(..))),
        largest_upload: config.max_upload_mib.saturating_mul(1 << 20),
        webhooks: Arc::clone(&resources.database.webhooks),
        keys: Arc::clone(&resources.database.keys),
        planner: Arc::new(LocalPlanner {
            compute,
            sources: sources.clone(),
            cache: resources.cache.clone(),
            scratch: resources.scratch.clone(),
            engine: config.worker.compute.engine()?,
            places: PlanPlaces::new(usize::try_from(config.http.max_plans).unwrap_or(usize::MAX)),
        }),
        failures: access::failures(config, &access),
        streams: Arc::new(Shares::new(http::count(config.http.max_streams))),
        answers: access::answers(&config.http, &access),
        access,
        limits,
        inputs: Arc::new(sources),
        webhook_policy: Arc::new(guard),
        disk: Arc::new(Disks(folders.collect())),
        telemetry: Arc::new(ProcessTelemetry),
        isolation: isolation.line().into(),
        draining,
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
