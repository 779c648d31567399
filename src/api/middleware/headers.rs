//! Headers that answers have whatever they are about.

use axum::http::{HeaderName, HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;

type SetHeader = SetResponseHeaderLayer<HeaderValue>;

fn always(name: HeaderName, value: &'static str) -> SetHeader {
    SetHeader::overriding(name, HeaderValue::from_static(value))
}

/// Browsers do not guess another media type.
pub(super) fn nosniff() -> SetHeader {
    always(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// No page may frame ours: for browsers that do not know `frame-ancestors`.
pub(super) fn no_frames() -> SetHeader {
    always(header::X_FRAME_OPTIONS, "DENY")
}

/// Links that lead elsewhere do not say from where.
pub(super) fn no_referrer() -> SetHeader {
    always(header::REFERRER_POLICY, "no-referrer")
}

/// Pages run and load what the service itself serves, and nothing else.
pub(super) fn content_policy() -> SetHeader {
    always(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    )
}

/// Answers of the API are not to be stored by caches, but where a handler says so.
pub(in crate::api) fn not_stored() -> SetHeader {
    SetHeader::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
