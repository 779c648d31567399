//! Writes the bodies of problems, here where the request's path and id are known.

use std::any::Any;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::request_id;
use crate::api::{
    error::ApiError,
    problem::{MEDIA_TYPE, Problem},
};

/// Gives an answer that carries a [`Problem`] its body.
pub(super) async fn write(request: Request, next: Next) -> Response {
    let (path, id) = (request.uri().path().to_owned(), request_id::of(&request));
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    problem.instance = path;
    problem.request_id = id;
    if let Ok(body) = serde_json::to_vec(&problem) {
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // Also where no route has the path, which is not among the routes that say so by themselves.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        *response.body_mut() = Body::from(body);
    }
    response
}

/// The answer of a handler that panicked.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::get};
    use tower::{ServiceBuilder, ServiceExt};
    use tower_http::{catch_panic::CatchPanicLayer, request_id::SetRequestIdLayer};

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_names_the_request() {
        async fn broken() -> StatusCode {
            std::panic::panic_any("a secret")
        }
        let layers = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(request_id::X_REQUEST_ID, request_id::NewRequestId))
            .layer(middleware::from_fn(write))
            .layer(CatchPanicLayer::custom(panicked));
        let router = Router::new().route("/x", get(broken)).layer(layers);
        let request = Request::get("/x").header("x-request-id", "r1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["instance"]), (&"internal_error".into(), &"/x".into()));
        assert_eq!(problem["request_id"], "r1");
        assert!(!problem.to_string().contains("secret"));
    }

    use axum::http::StatusCode;
}
