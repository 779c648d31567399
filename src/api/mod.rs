//! The HTTP interface: one file per resource, each with its DTOs, handlers and `routes()`.
//!
//! Talks to ports only ([`JobStore`], [`ArtifactReader`], …); which database or store is behind them is not known here.

mod access;
mod artifacts;
mod backends;
mod change;
mod conditional;
mod create;
mod documents;
mod error;
mod events;
mod health;
mod jobs;
mod keys;
mod limits;
mod page;
mod plans;
mod preprocess;
mod problem;
mod request;
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
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use access::Access;
pub use limits::Limits;

use crate::{
    access::KeyStore,
    job::{ArtifactReader, JobStore, Planner, QueueStats},
    spec::Objection,
    webhook::WebhookStore,
};

/// What is wrong with a URI, given the JSON pointer to it.
pub type UriCheck = dyn Fn(&str, &str) -> Option<Objection> + Send + Sync;
/// What is wrong with the URL of a webhook.
pub type UrlCheck = dyn Fn(&str) -> Result<(), String> + Send + Sync;
/// What is wrong with the local disk.
pub type DiskCheck = dyn Fn() -> Result<(), String> + Send + Sync;
/// The process's figures, given those of the queue.
pub type Metrics = dyn Fn(&QueueStats) -> String + Send + Sync;
/// Counts an answer: method, route, status, time.
pub type Answered = dyn Fn(&str, &str, u16, Duration) + Send + Sync;

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The jobs.
    pub jobs: Arc<dyn JobStore>,
    /// The artifacts.
    pub artifacts: Arc<dyn ArtifactReader>,
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
    /// Which URIs are acceptable.
    pub uri_check: Arc<UriCheck>,
    /// Which webhooks are.
    pub webhook_url_check: Arc<UrlCheck>,
    /// Whether the disk is fit.
    pub disk: Arc<DiskCheck>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Told of every answer.
    pub answered: Arc<Answered>,
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

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ptqd",
        description = "Post-training quantization as a service. A job names a model, calibration data and a `quantize` \
                       section in the vocabulary of NVIDIA's TAO Quant; the quantized model and an accuracy report \
                       come back as artifacts. Errors are RFC 9457 problem documents."
    ),
    tags(
        (name = "jobs", description = "Submit jobs and follow them."),
        (name = "results", description = "Plans, reports and artifacts."),
        (name = "catalogue", description = "What can be asked for."),
        (name = "webhooks", description = "Being told instead of asking."),
        (name = "operations", description = "The service itself.")
    ),
    modifiers(&Bearer),
    security((), ("api_key" = []))
)]
struct ApiDoc;

/// The security scheme: an API key as a bearer token. Optional, since a server may be open.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API key, `ptqd_…`, or a token of the OpenID provider. Not needed where the server is open.",
            ))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

fn documented() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(create::routes())
        .merge(jobs::routes())
        .merge(change::routes())
        .merge(events::routes())
        .merge(documents::routes())
        .merge(artifacts::routes())
        .merge(plans::routes())
        .merge(backends::routes())
        .merge(webhooks::routes())
        .merge(keys::routes())
        .merge(health::routes())
        .split_for_parts()
}

/// The OpenAPI document, derived from the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().1
}

/// The whole service.
pub fn router(state: ApiState) -> Router {
    let (router, openapi) = documented();
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
