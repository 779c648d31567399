//! Who asks, found out before any handler runs, and how often that one may.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::api::{error::ApiError, state::ApiState};

/// Finds out who asks, for the handlers and the rate limit. One who is nobody is turned away by the handlers that want
/// somebody: the page, the documents and the probes want nobody.
pub(super) async fn identify(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    let who = match state.access.identify(bearer.map(str::trim)).await {
        Ok(who) => who,
        Err(error @ ApiError::Unauthorized { .. }) => {
            request.extensions_mut().insert(Arc::new(error));
            return next.run(request).await;
        }
        Err(error) => return error.into_response(),
    };
    let left = match state.limits.as_ref().map(|limits| limits.take(&who)).transpose() {
        Ok(left) => left,
        Err(wait) => return ApiError::RateLimited { wait }.into_response(),
    };
    request.extensions_mut().insert(who);
    let mut response = next.run(request).await;
    if let Some(left) = left {
        left.write(response.headers_mut());
    }
    response
}
