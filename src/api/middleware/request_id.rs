//! The id of each request: the client's own if it is fit for logs, else a new one.

use axum::http::{HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Uuid;

/// The header that carries the id, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids that sort by time: UUIDs of version 7, without dashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&Uuid::now_v7().simple().to_string()).ok().map(RequestId::new)
    }
}

/// Drops an id that is too long, or holds what does not belong into a log, so that the request gets a new one.
pub(super) fn drop_unfit<B>(mut request: Request<B>) -> Request<B> {
    if request.headers().get(X_REQUEST_ID).is_some_and(|id| !is_fit(id)) {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

fn is_fit(id: &HeaderValue) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

/// The id of a request that has passed the layers; empty before.
pub(super) fn of<B>(request: &Request<B>) -> String {
    let id = request.extensions().get::<RequestId>();
    id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_unfit_for_logs_is_dropped() {
        let kept = |id: &[u8]| {
            let request = Request::builder().header(X_REQUEST_ID, id).body(()).unwrap();
            drop_unfit(request).headers().contains_key(X_REQUEST_ID)
        };
        assert!(kept(b"a-B_9.x:1") && kept(&[b'a'; 128]));
        for unfit in [&b""[..], &[b'a'; 129], b"a b", b"a\"b", b"a\xff"] {
            assert!(!kept(unfit), "{unfit:?}");
        }
    }

    #[test]
    fn new_ids_are_fit_and_different() {
        let id = || NewRequestId.make_request_id(&Request::new(())).unwrap().into_header_value();
        assert!(is_fit(&id()));
        assert_ne!(id(), id());
    }
}
