//! gzip, for answers that are worth it.

use axum::http::{HeaderMap, StatusCode};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

/// Below this many bytes an answer fits into a packet or two anyway.
const LEAST_BYTES: u16 = 1024;

/// Compresses what a client can take compressed.
pub(super) fn layer() -> CompressionLayer<impl Predicate + Send + Sync> {
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest).compress_when(worthwhile())
}

/// Not what is small; not event streams, which are to arrive line by line; not files, whose lengths, ranges and digests are
/// of the bytes as they are.
fn worthwhile() -> impl Predicate + Send + Sync {
    SizeAbove::new(LEAST_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::IMAGES)
        .and(|status: StatusCode, _, _: &HeaderMap, _: &_| status != StatusCode::PARTIAL_CONTENT)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Response};

    use super::*;

    fn compresses(status: u16, media_type: &str, bytes: usize) -> bool {
        let response = Response::builder().status(status).header("content-type", media_type);
        worthwhile().should_compress(&response.body(Body::from(vec![b'x'; bytes])).unwrap())
    }

    #[test]
    fn only_large_texts_that_are_whole_are_compressed() {
        assert!(compresses(200, "application/json", 1024));
        assert!(compresses(200, "text/javascript; charset=utf-8", 5000));
        assert!(compresses(422, "application/problem+json", 5000));
        assert!(!compresses(200, "application/json", 1023), "small");
        assert!(!compresses(200, "text/event-stream", 5000), "a stream of events");
        assert!(!compresses(200, "application/octet-stream", 5000), "an artifact");
        assert!(!compresses(206, "application/json", 5000), "a range");
        assert!(!compresses(200, "image/png", 5000));
    }

    #[test]
    fn a_body_of_unknown_length_is_compressed() {
        let stream = futures_util::stream::empty::<Result<Vec<u8>, std::io::Error>>();
        let response = Response::builder().header("content-type", "application/json");
        assert!(worthwhile().should_compress(&response.body(Body::from_stream(stream)).unwrap()));
    }
}
