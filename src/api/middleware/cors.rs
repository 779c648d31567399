//! Cross-origin requests (CORS): none, unless the operator names the origins.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Whose pages may call the API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Those of the service itself alone.
    #[default]
    None,
    /// Pages of every origin.
    Any,
    /// Those of these origins.
    These(Vec<HeaderValue>),
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no origin; give `*`, or scheme, host and port such as https://example.com:8443")]
pub struct OriginError {
    text: String,
}

impl CorsOrigins {
    /// Reads origins as the operator writes them; `*` is any.
    pub fn parse(texts: &[String]) -> Result<Self, OriginError> {
        let origins: Vec<_> = texts.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
        if texts.is_empty() {
            return Ok(CorsOrigins::None);
        }
        Ok(if texts.iter().any(|text| text == "*") { CorsOrigins::Any } else { CorsOrigins::These(origins) })
    }
}

impl CorsOrigins {
    /// Whether the pages of an origin, as a browser sends it, may call the API.
    pub(super) fn allow(&self, origin: Option<&HeaderValue>) -> bool {
        match self {
            CorsOrigins::None => false,
            CorsOrigins::Any => true,
            CorsOrigins::These(origins) => origin.is_some_and(|origin| origins.contains(origin)),
        }
    }
}

/// An origin in the form in which browsers send it: compared byte by byte, so what they would never send is refused.
fn origin(text: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError { text: text.to_owned() };
    let is_origin = |uri: Uri| {
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        web && uri.authority().is_some_and(|at| !at.as_str().contains('@') && text.ends_with(at.as_str()))
    };
    let fits = text == "*" || text.parse().is_ok_and(is_origin);
    if fits { HeaderValue::from_str(text).map_err(|_| wrong()) } else { Err(wrong()) }
}

/// The layer that answers preflight requests and marks answers; none where no origin is allowed.
pub(super) fn layer(origins: &CorsOrigins) -> Option<CorsLayer> {
    let origins = match origins {
        CorsOrigins::None => return None,
        CorsOrigins::Any => AllowOrigin::from(Any),
        CorsOrigins::These(origins) => AllowOrigin::list(origins.clone()),
    };
    let name = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_RANGE,
            header::RANGE,
            name("idempotency-key"),
            name("last-event-id"),
            name("prefer"),
            name("repr-digest"),
            name("traceparent"),
            name("x-request-id"),
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            name("idempotency-replayed"),
            name("preference-applied"),
            name("ratelimit"),
            name("ratelimit-policy"),
            name("repr-digest"),
            name("x-request-id"),
        ])
        .max_age(Duration::from_secs(3600));
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<CorsOrigins, OriginError> {
        CorsOrigins::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn no_origin_is_allowed_unless_one_is_named() {
        assert_eq!(parse(&[]), Ok(CorsOrigins::None));
        assert!(layer(&CorsOrigins::default()).is_none());
        assert!(layer(&CorsOrigins::Any).is_some());
    }

    #[test]
    fn origins_are_what_browsers_send() {
        assert_eq!(parse(&["https://a.example", "*"]), Ok(CorsOrigins::Any));
        let two = ["https://a.example:8443", "http://localhost"];
        assert_eq!(parse(&two), Ok(CorsOrigins::These(two.map(HeaderValue::from_static).to_vec())));
        for wrong in
            ["", "a.example", "https://a.example/", "https://a.example/x", "ftp://a", "https://u@a", "https://"]
        {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
