//! The HTTP interface: one file per resource, each with its DTOs, handlers and `routes()`.
//!
//! Talks to ports only ([`JobStore`], [`ArtifactReader`]); which database or store is behind them is not known here.

mod artifacts;
mod documents;
mod error;
mod events;
mod health;
mod jobs;
mod preprocess;
mod problem;
mod request;
mod views;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::sync::Notify;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    job::{ArtifactReader, JobStore},
    spec::Objection,
};

/// What is wrong with a URI, given the JSON pointer to it.
pub type UriCheck = dyn Fn(&str, &str) -> Option<Objection> + Send + Sync;

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The jobs.
    pub store: Arc<dyn JobStore>,
    /// The artifacts.
    pub artifacts: Arc<dyn ArtifactReader>,
    /// Which URIs are acceptable.
    pub uri_check: Arc<UriCheck>,
    /// Rung when a job is created.
    pub wake: Arc<Notify>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Bodies are small: models and data come by URI.
const LARGEST_BODY: usize = 1 << 20;

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
        (name = "operations", description = "The service itself.")
    )
)]
struct ApiDoc;

fn documented() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(jobs::routes())
        .merge(events::routes())
        .merge(documents::routes())
        .merge(artifacts::routes())
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
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(request::refuse_large))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn(problem::finish))
        .with_state(state)
}
