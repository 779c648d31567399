//! The span of each request, its line in the log, and its place in the figures.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::{DefaultOnBodyChunk, TraceLayer},
};
use tracing::Span;

use super::request_id;
use crate::api::{ports::Answered, state::ApiState};

type Spans<S> = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, S, (), (), DefaultOnBodyChunk, (), ()>;

/// A span around each request, until the last byte of its answer; part of the client's trace if it sent one.
pub(super) fn spans(state: &ApiState) -> Spans<impl Fn(&Request) -> Span + Clone + use<>> {
    let telemetry = state.telemetry.clone();
    let span = move |request: &Request| {
        let (id, method, path) = (request_id::of(request), request.method(), request.uri().path());
        let span = tracing::info_span!("request", request_id = id, %method, path);
        if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
            telemetry.join_trace(&span, parent);
        }
        span
    };
    TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(()).on_eos(()).on_failure(())
}

/// Counts each answer, and writes a line about it.
pub(super) async fn count(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (id, route) = (request_id::of(&request), request.extensions().get::<MatchedPath>().cloned());
    let began = Instant::now();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    state.telemetry.answered(&Answered { method: method.as_str(), route, status, took });
    tracing::info!(request_id = id, %method, path, status, ?took, "request");
    response
}
