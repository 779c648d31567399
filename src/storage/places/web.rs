//! [`Web`]: files on web servers, over HTTP. Every address on the way, redirects included, is looked at before anything is
//! sent to it.

use std::{
    io::Read,
    ops::Range,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use ureq::{
    Agent,
    http::{HeaderMap, Response, header},
};
use url::{Origin, Url};

use super::place::{Body, Object, Place, ReadError};
use crate::{outbound::Guard, panics::blocking};

/// The guard for servers that the configuration names: it refuses no address.
const INSIDE: Guard = Guard { private: true };
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// What a server answers that gives a whole file, a part of it, or has no such part.
const WHOLE: u16 = 200;
const PART: u16 = 206;
const UNSATISFIABLE: u16 = 416;
/// Bytes handed on at a time.
const CHUNK: usize = 256 << 10;

/// Web servers. A path is a URL.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Web {
    guard: Guard,
    agent: Agent,
    /// A server that the operator named, which may be anywhere, and the client for it.
    named: Option<(Origin, Agent)>,
    /// A token, and the one server that it is sent to.
    token: Option<(Origin, String)>,
}

impl Web {
    pub(in crate::storage) fn new(guard: Guard) -> Self {
        Web { guard, agent: guard.reader(SILENCE), named: None, token: None }
    }

    /// The same; the server of this URL may be at any address, and speak plain http. Where it sends us may not.
    pub(in crate::storage) fn with_named(self, server: &Url) -> Self {
        Web { named: Some((server.origin(), INSIDE.reader(SILENCE))), ..self }
    }

    /// The same with a token for one server. It is not sent anywhere else, whatever that server says.
    pub(in crate::storage) fn with_token(self, server: &Url, token: Option<&str>) -> Self {
        Web { token: token.map(|token| (server.origin(), token.to_owned())), ..self }
    }

    /// An answer with its body unread, after redirects. Blocks.
    fn get(&self, url: &str, headers: &[(header::HeaderName, String)]) -> Result<Response<ureq::Body>, ReadError> {
        const MOST_REDIRECTS: usize = 8;
        let mut url = Url::parse(url).map_err(ReadError::failed)?;
        for _ in 0..=MOST_REDIRECTS {
            let named = self.named.as_ref().filter(|(origin, _)| *origin == url.origin());
            let (guard, agent) = named.map_or((self.guard, &self.agent), |(_, agent)| (INSIDE, agent));
            guard.check(url.as_str()).map_err(ReadError::Address)?;
            // As it is: what is counted, hashed and read in parts must not be compressed on the way.
            let mut request = agent.get(url.as_str()).header(header::ACCEPT_ENCODING, "identity");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if let Some((_, token)) = self.token.as_ref().filter(|(origin, _)| *origin == url.origin()) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(read_failed)?;
            let status = response.status();
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            match (status.as_u16(), to) {
                (301 | 302 | 303 | 307 | 308, Some(to)) => url = url.join(to).map_err(ReadError::failed)?,
                (404 | 410, _) => return Err(ReadError::NotFound),
                (401 | 403, _) => return Err(ReadError::Denied(format!("the server answered {status}").into())),
                (412, _) => return Err(ReadError::Changed),
                (UNSATISFIABLE, _) => return Ok(response),
                _ if status.is_success() => return Ok(response),
                _ => return Err(ReadError::failed(format!("the server answered {status}"))),
            }
        }
        Err(ReadError::failed(format!("more than {MOST_REDIRECTS} redirects")))
    }

    /// Sends the content of a file, or as much of it as somebody listens to. Blocks.
    fn send(
        &self,
        object: &Object,
        headers: &[(header::HeaderName, String)],
        part: bool,
        to: &mpsc::Sender<Result<Bytes, ReadError>>,
    ) -> Result<(), ReadError> {
        let response = self.get(&object.path, headers)?;
        if part != (response.status().as_u16() == PART) {
            return Err(ReadError::failed("the server does not give the part that was asked for"));
        }
        if object.tag.is_some() && tag(response.headers()).is_some_and(|tag| Some(tag) != object.tag) {
            return Err(ReadError::Changed);
        }
        let mut reader = response.into_body().into_reader();
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = reader.read(&mut chunk).map_err(ReadError::failed)?;
            chunk.truncate(read);
            if read == 0 || to.blocking_send(Ok(Bytes::from(chunk))).is_err() {
                return Ok(());
            }
        }
    }

    /// A small document, whole.
    pub(in crate::storage) async fn document(&self, url: &Url) -> Result<Vec<u8>, ReadError> {
        const LARGEST: u64 = 32 << 20;
        let (web, url) = (self.clone(), url.to_string());
        let get = move || {
            let mut response = web.get(&url, &[])?;
            let mut reader = response.body_mut().with_config().limit(LARGEST).reader();
            let (began, mut text, mut part) = (Instant::now(), Vec::new(), vec![0; CHUNK]);
            loop {
                match reader.read(&mut part).map_err(ReadError::failed)? {
                    0 => return Ok(text),
                    read => text.extend(part.iter().take(read)),
                }
                // One that drips would keep this thread.
                if began.elapsed() > 2 * SILENCE {
                    return Err(ReadError::Slow { bytes: text.len() as u64, seconds: began.elapsed().as_secs() });
                }
            }
        };
        blocking(get).await.map_err(ReadError::Panicked)?
    }
}

fn read_failed(error: ureq::Error) -> ReadError {
    match error {
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => ReadError::Address(e.to_string()),
        other => ReadError::failed(other),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The tag of an answer, if two contents never share it.
fn tag(headers: &HeaderMap) -> Option<String> {
    text(headers, &header::ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned)
}

/// What an answer to the question for the first byte says of the whole.
fn described(path: &str, response: &Response<ureq::Body>) -> Object {
    let headers = response.headers();
    let total = text(headers, &header::CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    let length = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let whole = response.status().as_u16() == WHOLE;
    let ranges = !whole && total.is_some();
    Object { path: path.to_owned(), size: if ranges { total } else { length }, tag: tag(headers), ranges, sha256: None }
}

#[async_trait]
impl Place for Web {
    /// Asks for the first byte: unlike HEAD, every server answers that, and says whether it gives parts.
    async fn head(&self, path: &str) -> Result<Object, ReadError> {
        let (web, path) = (self.clone(), path.to_owned());
        let ask = move || {
            let response = web.get(&path, &[(header::RANGE, "bytes=0-0".to_owned())])?;
            Ok(described(&path, &response))
        };
        blocking(ask).await.map_err(ReadError::Panicked)?
    }

    async fn list(&self, _: &str) -> Result<Vec<(String, Object)>, ReadError> {
        Ok(Vec::new())
    }

    async fn open(&self, object: &Object, range: Option<Range<u64>>) -> Result<Body, ReadError> {
        let mut headers = Vec::new();
        if let Some(range) = &range {
            headers.push((header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1))));
        }
        if let Some(tag) = &object.tag {
            headers.push((header::IF_MATCH, tag.clone()));
        }
        let (web, object) = (self.clone(), object.clone());
        let (sender, receiver) = mpsc::channel(4);
        // A thread of its own, not one of the runtime's: a server that says nothing must not keep the program from ending.
        std::thread::spawn(move || {
            let sent = web.send(&object, &headers, range.is_some(), &sender);
            // A receiver that is gone needs nothing more.
            let _ = sent.or_else(|error| sender.blocking_send(Err(error)));
        });
        let next = |mut receiver: mpsc::Receiver<_>| async { receiver.recv().await.map(|item| (item, receiver)) };
        Ok(Box::pin(futures_util::stream::unfold(receiver, next)))
    }

    fn beside(&self, path: &str, name: &str) -> String {
        let joined = Url::parse(path).ok().and_then(|mut url| {
            url.set_query(None);
            let mut segments = url.path_segments_mut().ok()?;
            segments.pop().extend(name.split('/'));
            drop(segments);
            Some(url.to_string())
        });
        joined.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_has_the_same_folder_and_no_query() {
        let web = Web::new(Guard::default());
        for (path, name, wanted) in [
            ("https://h/a/m.onnx", "m.onnx.data", "https://h/a/m.onnx.data"),
            ("https://h/a/m.onnx?x=1", "b c/d#e", "https://h/a/b%20c/d%23e"),
            ("https://h/m.onnx", "w", "https://h/w"),
        ] {
            assert_eq!(web.beside(path, name), wanted);
        }
    }
}
