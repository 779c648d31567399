//! The limit on bodies: models and data come by URI, so a body is a description.

use axum::response::{IntoResponse, Response};
use tower::util::MapResponseLayer;
use tower_http::limit::{RequestBodyLimitLayer, ResponseBody};

use crate::api::{error::ApiError, problem::Problem};

type Limited = Response<ResponseBody<axum::body::Body>>;
type LimitAsProblem = (MapResponseLayer<fn(Limited) -> Response>, RequestBodyLimitLayer);

/// Answers at once to a body that is announced as larger than so many bytes, and stops reading one that turns out to be.
pub(in crate::api) fn small_bodies(largest: usize) -> LimitAsProblem {
    (MapResponseLayer::new(as_problem), RequestBodyLimitLayer::new(largest))
}

/// The layer's own answer to a body that is too large is plain text; a handler's is a problem already.
fn as_problem(response: Limited) -> Response {
    let plain = response.status() == ApiError::TooLarge.status() && response.extensions().get::<Problem>().is_none();
    if plain { ApiError::TooLarge.into_response() } else { response.into_response() }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, Bytes},
        http::{Request, StatusCode},
        routing::post,
    };
    use tower::ServiceExt;

    use super::*;

    const LARGEST_BODY: usize = 1 << 16;

    async fn send(request: Request<Body>) -> (StatusCode, Option<String>) {
        let router = Router::new().route("/", post(async |_: Bytes| ())).layer(small_bodies(LARGEST_BODY));
        let response = router.oneshot(request).await.unwrap();
        (response.status(), response.extensions().get::<Problem>().map(|problem| problem.code.clone()))
    }

    #[tokio::test]
    async fn a_body_that_is_announced_as_too_large_is_refused_unread() {
        let announced = Request::post("/").header("content-length", LARGEST_BODY + 1);
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let answer = send(announced.body(endless).unwrap()).await;
        assert_eq!(answer, (StatusCode::PAYLOAD_TOO_LARGE, Some("body_too_large".to_owned())));
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_read() {
        let body = |bytes: usize| Request::post("/").body(Body::from(vec![b' '; bytes])).unwrap();
        assert_eq!(send(body(LARGEST_BODY)).await.0, StatusCode::OK);
        assert_eq!(send(body(LARGEST_BODY + 1)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
