//! The web page at `/`: part of the program, so that nothing else need be there to serve it.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};

use super::state::ApiState;

/// Path, media type and content.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/page/main.js", "text/javascript; charset=utf-8", include_str!("page/main.js")),
    ("/page/client.js", "text/javascript; charset=utf-8", include_str!("page/client.js")),
    ("/page/job.js", "text/javascript; charset=utf-8", include_str!("page/job.js")),
    ("/page/submit.js", "text/javascript; charset=utf-8", include_str!("page/submit.js")),
    ("/page/plots.js", "text/javascript; charset=utf-8", include_str!("page/plots.js")),
];

/// The page's files. They talk to the API like any other client.
pub(super) fn routes() -> Router<ApiState> {
    FILES.into_iter().fold(Router::new(), |router, (path, media_type, content)| {
        let answer = move || async move {
            let media_type = HeaderValue::from_static(media_type);
            (
                [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))],
                content,
            )
                .into_response()
        };
        router.route(path, get(answer))
    })
}
