//! Who asks, found out before any handler runs, and how often that one may.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::api::{
    connections::{Held, Peer},
    error::ApiError,
    state::ApiState,
};

/// Finds out who asks, for the handlers and the rate limit. One who is nobody is turned away by the handlers that want
/// somebody: the page, the documents and the probes want nobody.
pub(super) async fn identify(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    let bearer = bearer.map(str::trim);
    let from = request.extensions().get::<Peer>().map(|peer| peer.0);
    // What can be counted: credentials that somebody brought from somewhere, where there are wrong ones.
    let tried = bearer.zip(from).zip(state.failures.as_ref());
    let wait = tried.and_then(|((bearer, from), failures)| failures.check(from, bearer, Instant::now()).err());
    let who = match wait {
        Some(wait) => Err(ApiError::Throttled { wait }),
        None => state.access.identify(bearer).await,
    };
    let who = match who {
        Ok(who) => {
            if let Some(((bearer, _), failures)) = tried {
                failures.was_right(bearer);
            }
            who
        }
        Err(error @ (ApiError::Unauthorized { .. } | ApiError::Throttled { .. })) => {
            if let (Some(((bearer, from), failures)), None) = (tried, wait) {
                failures.was_wrong(from, bearer, Instant::now());
            }
            request.extensions_mut().insert(Arc::new(error));
            return next.run(request).await;
        }
        Err(error) => return error.into_response(),
    };
    let left = match state.limits.as_ref().map(|limits| limits.take(&who)).transpose() {
        Ok(left) => left,
        Err(wait) => return ApiError::RateLimited { wait }.into_response(),
    };
    let share = state.answers.as_ref().map(|answers| answers.take(who.tenant.to_string()).ok_or(ApiError::Answers));
    let share = match share.transpose() {
        Ok(share) => share,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(who);
    let mut response = next.run(request).await.map(|body| Body::new(Held { body, _held: share }));
    if let Some(left) = left {
        left.write(response.headers_mut());
    }
    response
}
