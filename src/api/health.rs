//! Probes and metrics: `/healthz`, `/readyz` and `/metrics`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{access::Operator, error::ApiError, extract::Params, problem::Problem, state::ApiState};
use crate::fault::chain;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// The answer of a process that is alive, whatever the state of what it depends on.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`: a process that is not does not answer.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of ptqd.
    version: &'static str,
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It is.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether each thing that the service depends on can be used.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether requests should come here.
    ready: bool,
    /// `ok`, or what is wrong with the database.
    database: String,
    /// `ok`, or what is wrong with the artifact store.
    store: String,
    /// `ok`, or what is wrong with the local disk.
    disk: String,
    /// Whether the server is about to stop.
    draining: bool,
    /// How far models and data of strangers run apart; only with `?verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "a confined process for each job")]
    isolation: Option<String>,
}

/// What the answer has besides.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReadinessParams {
    /// Whether the answer says how models and data of strangers are kept apart; `?verbose` alone is yes.
    verbose: Option<String>,
}

/// Whether requests should come here: database, artifact store and disk are usable, and the server is not about to stop.
#[utoipa::path(get, path = "/readyz", tag = "operations", params(ReadinessParams), responses(
    (status = 200, description = "They should.", body = Readiness),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 503, description = "They should not.", body = Readiness)))]
async fn readyz(State(state): State<ApiState>, Params(params): Params<ReadinessParams>) -> Response {
    // The endpoint is open to everybody, so the answer says what fails, and only the log says why.
    let state_of = |error: Option<String>| error.unwrap_or_else(|| "ok".to_owned());
    let logged = |error: &dyn std::error::Error| tracing::warn!(error = chain(error), "not ready");
    let readiness = Readiness {
        database: state_of(state.jobs.ping().await.inspect_err(|e| logged(e)).err().map(|e| e.to_string())),
        store: state_of(state.artifacts.check().await.inspect_err(|e| logged(e)).err().map(|e| e.to_string())),
        disk: state_of(state.disk.check().err()),
        draining: *state.draining.borrow(),
        isolation: params.verbose.filter(|verbose| verbose != "false").map(|_| state.isolation.to_string()),
        ready: false,
    };
    let parts = [&readiness.database, &readiness.store, &readiness.disk];
    let ready = !readiness.draining && parts.iter().all(|part| *part == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, ..readiness })).into_response()
}

/// Figures of all tenants, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "The figures.", body = String, content_type = "application/openmetrics-text"),
))]
async fn metrics(State(state): State<ApiState>, _: Operator) -> Result<Response, ApiError> {
    let stats =
        state.jobs.stats().await.inspect_err(|e| tracing::warn!(error = chain(e), "no figures of the queue"))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], state.telemetry.metrics(&stats)).into_response())
}
