//! Bounds on how many requests are worked on at a time, and for how long.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use axum::error_handling::HandleErrorLayer;
use tower::{
    BoxError,
    limit::GlobalConcurrencyLimitLayer,
    load_shed::{LoadShedLayer, error::Overloaded},
    timeout::{TimeoutLayer, error::Elapsed},
};

use crate::{api::error::ApiError, fault::chain};

/// Makes an answer of a layer's refusal.
type Refusals = HandleErrorLayer<fn(BoxError) -> Ready<ApiError>, ()>;

/// Turns requests away at once while `most` are worked on, over all routes with this layer together. A request counts until
/// the head of its answer is sent: those who follow events or download do not.
pub(in crate::api) fn load_shedding(most: usize) -> (Refusals, LoadShedLayer, GlobalConcurrencyLimitLayer) {
    (HandleErrorLayer::new(refusal), LoadShedLayer::new(), GlobalConcurrencyLimitLayer::new(most))
}

/// Gives up on a request whose answer's head has not been sent in time. What is sent after the head may take as long as it
/// will, and a longer `Prefer: wait` than this is cut short by nothing else, so `limit` should be above 30 seconds.
pub(in crate::api) fn time_limit(limit: Duration) -> (Refusals, TimeoutLayer) {
    (HandleErrorLayer::new(refusal), TimeoutLayer::new(limit))
}

fn refusal(error: BoxError) -> Ready<ApiError> {
    ready(if error.is::<Overloaded>() {
        ApiError::Overloaded
    } else if error.is::<Elapsed>() {
        ApiError::TimedOut
    } else {
        tracing::error!(error = chain(&*error), "a layer failed");
        ApiError::Internal
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        Router,
        body::Body,
        http::{Request, StatusCode, header},
        response::{Response, Sse},
        routing::get,
    };
    use futures_util::stream;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;
    use crate::api::problem::Problem;

    async fn ask(router: &Router, path: &str) -> Response {
        router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    fn code(response: &Response) -> &str {
        &response.extensions().get::<Problem>().unwrap().code
    }

    #[tokio::test]
    async fn one_request_too_many_is_turned_away_with_a_problem() {
        let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, wait) = (Arc::clone(&entered), Arc::clone(&leave));
        let slow = move || async move {
            inside.notify_one();
            wait.notified().await;
        };
        let router = Router::new().route("/slow", get(slow)).route("/other", get(async || ())).layer(load_shedding(1));
        let first = tokio::spawn({
            let router = router.clone();
            async move { ask(&router, "/slow").await.status() }
        });
        entered.notified().await;
        let refused = ask(&router, "/other").await;
        assert_eq!((refused.status(), code(&refused)), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        leave.notify_one();
        assert_eq!(first.await.unwrap(), StatusCode::OK);
        assert_eq!(ask(&router, "/other").await.status(), StatusCode::OK, "there is room again");
    }

    #[tokio::test]
    async fn a_stream_counts_only_until_its_head_is_sent_and_is_not_cut() {
        let endless = async || Sse::new(stream::pending::<Result<axum::response::sse::Event, std::io::Error>>());
        let router = Router::new().route("/events", get(endless)).layer(load_shedding(1));
        let router = router.layer(time_limit(Duration::from_millis(20)));
        let followed = ask(&router, "/events").await;
        assert_eq!(ask(&router, "/events").await.status(), StatusCode::OK, "the first one holds no place");
        let body = axum::body::to_bytes(followed.into_body(), usize::MAX);
        let still_open = tokio::time::timeout(Duration::from_millis(100), body).await.is_err();
        assert!(still_open, "the time limit is over, and the stream goes on");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_answered_with_a_problem() {
        let router = Router::new()
            .route("/never", get(async || std::future::pending::<()>().await))
            .layer(time_limit(Duration::from_millis(10)));
        let late = ask(&router, "/never").await;
        assert_eq!((late.status(), code(&late)), (StatusCode::SERVICE_UNAVAILABLE, "request_timeout"));
        assert!(late.headers().contains_key(header::RETRY_AFTER));
    }
}
