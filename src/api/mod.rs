//! The HTTP interface: one file per resource, each with its DTOs, handlers and `routes()`.
//!
//! Talks to ports only ([`JobStore`], [`ArtifactReader`], …); which database or store is behind them is not known here.

mod access;
mod artifacts;
mod backends;
mod conditional;
mod create;
mod error;
mod events;
mod health;
mod job_actions;
mod jobs;
mod keys;
mod limits;
mod openapi;
mod page;
mod plans;
mod preprocess;
mod problem;
mod reports;
mod request;
mod uploads;
mod views;
mod wait;
mod webhooks;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use access::Access;
pub use limits::Limits;
pub use openapi::openapi;

use crate::{
    access::KeyStore,
    job::{ArtifactReader, JobStore, Planner, QueueStats, Tenant, Uploads},
    spec::Objection,
    webhook::WebhookStore,
};

/// What is wrong with a tenant's URI, given the JSON pointer to it.
pub type UriCheck = dyn Fn(&Tenant, &str, &str) -> Option<Objection> + Send + Sync;
/// What is wrong with the URL of a webhook.
pub type UrlCheck = dyn Fn(&str) -> Result<(), String> + Send + Sync;
/// What is wrong with the local disk.
pub type DiskCheck = dyn Fn() -> Result<(), String> + Send + Sync;
/// The process's figures, given those of the queue.
pub type Metrics = dyn Fn(&QueueStats) -> String + Send + Sync;
/// Makes a span part of the trace that a `traceparent` header names.
pub type Adopt = dyn Fn(&tracing::Span, &str) + Send + Sync;
/// Counts an answer: method, route, status, time.
pub type Answered = dyn Fn(&str, &str, u16, Duration) + Send + Sync;

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The jobs.
    pub jobs: Arc<dyn JobStore>,
    /// The artifacts.
    pub artifacts: Arc<dyn ArtifactReader>,
    /// The uploads.
    pub uploads: Arc<dyn Uploads>,
    /// The most bytes of one.
    pub largest_upload: u64,
    /// The webhooks.
    pub webhooks: Arc<dyn WebhookStore>,
    /// The API keys.
    pub keys: Arc<dyn KeyStore>,
    /// Who can tell what a job would do.
    pub planner: Arc<dyn Planner>,
    /// Who may come in.
    pub access: Access,
    /// How often; no limit without it.
    pub limits: Option<Arc<Limits>>,
    /// Which URIs are acceptable, from whom.
    pub uri_check: Arc<UriCheck>,
    /// Which webhooks are.
    pub webhook_url_check: Arc<UrlCheck>,
    /// Whether the disk is fit.
    pub disk: Arc<DiskCheck>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Told of every answer.
    pub answered: Arc<Answered>,
    /// Joins a client's trace.
    pub adopt: Arc<Adopt>,
    /// Whether the server is about to stop.
    pub draining: watch::Receiver<bool>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// Bodies are small: models and data come by URI.
const LARGEST_BODY: usize = 1 << 20;
/// The longest path and query.
const LONGEST_URI: usize = 8 << 10;

/// The routes and what they say of themselves.
fn documented() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(create::routes())
        .merge(jobs::routes())
        .merge(job_actions::routes())
        .merge(events::routes())
        .merge(reports::routes())
        .merge(artifacts::routes())
        .merge(uploads::routes())
        .merge(plans::routes())
        .merge(backends::routes())
        .merge(webhooks::routes())
        .merge(keys::routes())
        .merge(health::routes())
        .split_for_parts()
}

/// The whole service.
pub fn router(state: ApiState) -> Router {
    let (router, openapi) = documented();
    let openapi = openapi::finished(openapi);
    router
        .merge(page::routes())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), access::identify))
        .layer(middleware::from_fn(request::refuse_large))
        .layer(middleware::from_fn_with_state(state.clone(), refuse_while_draining))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), problem::finish))
        .with_state(state)
}

/// A server that is about to stop takes nothing new; whoever looks is still answered.
async fn refuse_while_draining(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if *state.draining.borrow() && request.method() != Method::GET && request.method() != Method::HEAD {
        return error::ApiError::Draining.into_response();
    }
    next.run(request).await
}
