//! Requests that are turned away before anybody looks at them.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::api::{error::ApiError, state::ApiState};

/// The longest path and query, in bytes.
const LONGEST_URI: usize = 8 << 10;

/// A server that is about to stop takes nothing new; reads are still answered.
pub(super) async fn while_draining(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if *state.draining.borrow() && request.method() != Method::GET && request.method() != Method::HEAD {
        return ApiError::Draining.into_response();
    }
    next.run(request).await
}

/// Neither routes nor handlers expect more than this in a path.
pub(super) async fn long_uris(request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > LONGEST_URI) {
        return ApiError::UriTooLong.into_response();
    }
    next.run(request).await
}
