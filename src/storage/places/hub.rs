//! [`Hub`]: repositories of models and data sets on a hub that speaks Hugging Face's HTTPS layout.
//!
//! A branch or tag is resolved to a commit first, and everything is read at that commit, so that one job never sees two
//! states of a repository, and its manifest names the state that it saw.

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;
use object_store::path::Path as Key;
use serde::Deserialize;
use url::Url;

use super::{
    place::{Body, Object, Place, ReadError},
    web::Web,
};
use crate::{outbound::Guard, storage::StorageError};

/// A place in a repository on a model hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct HubPath {
    /// `models` or `datasets`.
    pub(in crate::storage) kind: &'static str,
    /// `owner/name`.
    pub(in crate::storage) repository: String,
    /// A branch, tag or commit; `main` without it.
    pub(in crate::storage) revision: Option<String>,
    /// The path in it; empty for the whole.
    pub(in crate::storage) path: Key,
}

/// Where the hub is, and who we are there.
#[derive(Clone)]
pub struct HubConfig {
    /// The URL that its API and its files are below: `https://huggingface.co`.
    pub endpoint: String,
    /// A token, for repositories that are not open.
    pub token: Option<String>,
}

impl Default for HubConfig {
    fn default() -> Self {
        HubConfig { endpoint: "https://huggingface.co".to_owned(), token: None }
    }
}

impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One repository at one commit. A path is a file's in the repository.
#[derive(Debug)]
pub(in crate::storage) struct Hub {
    web: Web,
    /// The URI of the repository at the commit, without a path.
    pub(in crate::storage) pinned: String,
    files: BTreeMap<String, Object>,
}

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct Described {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

/// Large files are known by their digest.
#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    oid: Option<String>,
    size: Option<u64>,
}

impl Hub {
    /// Asks the hub for the repository's files at a revision.
    pub(in crate::storage) async fn open(
        config: &HubConfig,
        guard: Guard,
        path: &HubPath,
        uri: &str,
    ) -> Result<Self, StorageError> {
        let unusable =
            |source: url::ParseError| StorageError::Store { place: config.endpoint.clone(), source: source.into() };
        let endpoint = Url::parse(&config.endpoint).map_err(unusable)?;
        // The operator named this address; what is private to others may be the operator's own mirror.
        let guard = Guard { private: guard.private || guard.check(endpoint.as_str()).is_err() };
        let web = Web::new(guard).with_token(&endpoint, config.token.as_deref());
        let HubPath { kind, repository, revision, .. } = path;
        let revision = revision.as_deref().unwrap_or("main");
        let mut api = below(&endpoint, &["api", kind], repository);
        if let Ok(mut segments) = api.path_segments_mut() {
            // One segment, whatever slashes a reference has.
            segments.extend(["revision", revision]);
        }
        api.set_query(Some("blobs=true"));
        let text = web.document(&api).await.map_err(|error| error.at(uri))?;
        let unreadable = |e: serde_json::Error| ReadError::failed(e).at(uri);
        let described: Described = serde_json::from_slice(&text).map_err(unreadable)?;
        if !(7..=64).contains(&described.sha.len()) || !described.sha.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ReadError::failed("the hub names no commit").at(uri));
        }
        let prefix: &[&str] = if *kind == "datasets" { &["datasets"] } else { &[] };
        let mut base = below(&endpoint, prefix, repository);
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.extend(["resolve", &described.sha]);
        }
        let files = described.siblings.into_iter().map(|sibling| {
            let mut url = base.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.extend(sibling.rfilename.split('/'));
            }
            let sha256 = sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone().or(lfs.oid.clone()));
            let object = Object {
                path: url.to_string(),
                size: sibling.lfs.and_then(|lfs| lfs.size).or(sibling.size),
                // Content at a commit never changes.
                tag: Some(described.sha.clone()),
                ranges: true,
                sha256: sha256.filter(|digest| digest.len() == 64),
            };
            (sibling.rfilename, object)
        });
        let kind = if *kind == "datasets" { "datasets/" } else { "" };
        Ok(Hub { web, pinned: format!("hf://{kind}{repository}@{}", described.sha), files: files.collect() })
    }
}

fn below(endpoint: &Url, first: &[&str], repository: &str) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(first).extend(repository.split('/'));
    }
    url
}

#[async_trait]
impl Place for Hub {
    async fn head(&self, path: &str) -> Result<Object, ReadError> {
        let object = self.files.get(path).ok_or(ReadError::NotFound)?;
        if object.size.is_some() {
            return Ok(Object { path: path.to_owned(), ..object.clone() });
        }
        // A hub whose answer has no sizes.
        let found = self.web.head(&object.path).await?;
        let (tag, sha256) = (object.tag.clone(), object.sha256.clone());
        Ok(Object { path: path.to_owned(), tag, sha256, ..found })
    }

    async fn list(&self, path: &str) -> Result<Vec<(String, Object)>, ReadError> {
        let below = |name: &str| match path {
            "" => Some(name.to_owned()),
            folder => Some(name.strip_prefix(folder)?.strip_prefix('/')?.to_owned()),
        };
        let mut found = Vec::new();
        for name in self.files.keys() {
            if let Some(relative) = below(name) {
                found.push((relative, self.head(name).await?));
            }
        }
        Ok(found)
    }

    async fn open(&self, object: &Object, range: Option<Range<u64>>) -> Result<Body, ReadError> {
        let url = self.files.get(&object.path).ok_or(ReadError::NotFound)?.path.clone();
        self.web.open(&Object { path: url, tag: None, ..object.clone() }, range).await
    }
}
