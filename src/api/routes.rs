//! The routes of the whole service, and which limits each group of them has.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    artifacts, backends, create,
    error::ApiError,
    events, health, job_actions, jobs, keys,
    middleware::{self, HttpSettings},
    openapi::{finished, head},
    page, plans, presets, reports,
    state::ApiState,
    uploads, webhooks,
};

/// The routes that are documented, and what they say of themselves.
///
/// A request of the first group has a small body and is answered in bounded time. Uploads have neither bound, and the probes
/// must be answered however busy the server is.
fn documented(settings: &HttpSettings) -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    let bounded = OpenApiRouter::new()
        .merge(create::routes())
        .merge(jobs::routes())
        .merge(job_actions::routes())
        .merge(events::routes())
        .merge(reports::routes())
        .merge(artifacts::routes())
        .merge(plans::routes())
        .merge(backends::routes())
        .merge(presets::routes())
        .merge(webhooks::routes())
        .merge(keys::routes())
        .route_layer(middleware::small_bodies(settings.largest_body))
        .route_layer(middleware::time_limit(settings.timeout));
    let v1 = bounded
        .merge(uploads::routes())
        .route_layer(middleware::load_shedding(settings.max_requests))
        .route_layer(middleware::not_stored());
    OpenApiRouter::with_openapi(head()).merge(v1).merge(health::routes()).split_for_parts()
}

/// The OpenAPI document, derived from the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    finished(documented(&HttpSettings::default()).1)
}

/// Everything that the server answers: API, page, documentation, and errors for what is none of these.
pub fn router(state: ApiState, settings: &HttpSettings) -> Router {
    let (routes, document) = documented(settings);
    let routes = routes
        .merge(page::routes())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", finished(document)))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method);
    middleware::around(routes, &state, settings).with_state(state)
}

async fn no_such_path() -> ApiError {
    ApiError::NotFound { what: "such path" }
}

async fn no_such_method() -> ApiError {
    ApiError::Method
}
