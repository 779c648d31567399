//! Requests that somebody else's page makes a browser send.
//!
//! A name that leads to this machine after the page was loaded (DNS rebinding) makes a foreign page one of our own to the
//! browser; only the `Host` that it sends tells. Where keys are needed the page has none.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::cors::CorsOrigins;
use crate::api::error::ApiError;

/// The names that a server of one's own machine has.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// Asked by machines that know an address and no name; they tell nothing.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Who asks legitimately.
#[derive(Debug)]
pub(super) struct Own {
    /// Whether anybody may ask, without a key.
    pub(super) open: bool,
    /// The names of this server besides [`OWN_NAMES`].
    pub(super) hosts: Vec<String>,
    /// Whose pages may ask.
    pub(super) origins: CorsOrigins,
}

/// Turns away what no page of ours, and none that is allowed, would send.
pub(super) async fn pages(State(own): State<Arc<Own>>, request: Request, next: Next) -> Response {
    match own.check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

impl Own {
    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST);
        // Browsers always name one.
        if self.open && !PROBES.contains(&path) && host.is_some_and(|host| !self.names(host)) {
            return Err(ApiError::Host);
        }
        let writes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if writes && self.cross_site(host, headers) && !self.origins.allow(headers.get(header::ORIGIN)) {
            return Err(ApiError::CrossSite);
        }
        Ok(())
    }

    fn names(&self, host: &HeaderValue) -> bool {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let own = || OWN_NAMES.into_iter().chain(self.hosts.iter().map(String::as_str));
        host.is_some_and(|host| own().any(|own| own.eq_ignore_ascii_case(host.host())))
    }

    /// Whether a page of another site sent it. Browsers say so, but not over plain http to another machine; there the page's
    /// origin tells. With keys it need not: such a page has none.
    fn cross_site(&self, host: Option<&HeaderValue>, headers: &HeaderMap) -> bool {
        match headers.get("sec-fetch-site") {
            Some(site) if site == "cross-site" => true,
            Some(site) if site == "same-origin" || site == "none" => false,
            // Another port of this machine is the same site, and another program.
            _ => headers.get(header::ORIGIN).filter(|_| self.open).is_some_and(|origin| {
                let origin = origin.to_str().unwrap_or_default();
                let authority = origin.split_once("://").map(|(_, authority)| authority.as_bytes());
                authority != host.map(HeaderValue::as_bytes)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn own(open: bool, origins: &[&str]) -> Own {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Own { open, hosts: vec!["ptqd.lan".to_owned()], origins: CorsOrigins::parse(&origins).unwrap() }
    }

    #[test]
    fn an_open_server_answers_to_its_own_names_alone() {
        let asked = |open, host| own(open, &[]).check(&Method::GET, "/v1/jobs", &headers(&[("host", host)])).is_ok();
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "ptqd.lan:80"] {
            assert!(asked(true, host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost@evil.example", "", "10.0.0.1"]
        {
            assert!(!asked(true, host), "{host}");
            assert!(asked(false, host), "keys are needed: {host}");
        }
        assert!(own(true, &[]).check(&Method::GET, "/healthz", &headers(&[("host", "10.0.0.1")])).is_ok());
    }

    #[test]
    fn writes_of_other_sites_are_refused_unless_their_origin_is_allowed() {
        let local = ("host", "localhost:8080");
        let post = |own: &Own, fields: &[(&'static str, &'static str)]| {
            own.check(&Method::POST, "/v1/jobs", &headers(&[&[local], fields].concat())).is_ok()
        };
        let foreign = ("origin", "https://evil.example");
        let cross = ("sec-fetch-site", "cross-site");
        for open in [true, false] {
            let server = own(open, &["https://app.example"]);
            assert!(!post(&server, &[cross]) && !post(&server, &[cross, foreign]));
            assert!(post(&server, &[cross, ("origin", "https://app.example")]));
            assert!(post(&server, &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8080")]));
            assert!(post(&server, &[]), "a program, no browser");
            let port = [("sec-fetch-site", "same-site"), ("origin", "http://localhost:9000")];
            assert_eq!(post(&server, &port), !open, "another program of this machine");
            assert_eq!(post(&server, &[foreign]), !open, "a browser that does not tell the site");
            assert!(post(&server, &[("origin", "http://localhost:8080")]));
        }
        assert!(post(&own(true, &["*"]), &[cross, foreign]));
        let read = own(true, &[]).check(&Method::GET, "/v1/jobs", &headers(&[local, cross, foreign]));
        assert!(read.is_ok(), "the browser keeps the answer from the page");
    }
}
