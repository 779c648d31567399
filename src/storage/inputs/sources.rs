//! [`Sources`]: which URIs may be read by whom, and the places that they name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use url::Url;

use super::{
    files::LocalFiles,
    location::{Location, SCHEMES},
    rules::Rule,
};
use crate::{
    fault::Fault,
    job::Tenant,
    outbound::Guard,
    spec::{Objection, ObjectionCode},
    storage::{
        Artifacts, HubConfig, StorageError,
        places::{Bucket, Hub, Pace, Place, Web},
    },
};

/// Which URIs may be read, and how.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The files of this machine that `file://` URIs may name.
    pub files: LocalFiles,
    /// Places that are open; see [`Sources::remote_open`].
    pub rules: Vec<Rule>,
    /// Without rules: whether every bucket that the server's credentials reach is open. Web servers and the hub are.
    pub remote_open: bool,
    /// Which addresses of web servers may be talked to.
    pub guard: Guard,
    /// Where `hf://` leads, and the token for it.
    pub hub: HubConfig,
    /// Where uploads are; there are none without it.
    pub uploads: Option<Artifacts>,
    /// The most bytes of one input.
    pub max_bytes: u64,
    /// How long they may take to come.
    pub patience: Patience,
    /// Buckets that were opened: each keeps its connections and the credentials of a role.
    pub buckets: OpenBuckets,
}

/// How long inputs may take to come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// All of a job, before it computes; no limit without it.
    pub job: Option<Duration>,
    /// What a plan needs; no limit without it.
    pub plan: Option<Duration>,
    /// How fast they must come.
    pub pace: Pace,
}

/// Buckets by scheme and name, each opened once. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct OpenBuckets(Arc<Mutex<BTreeMap<String, Bucket>>>);

/// Where an input is.
#[derive(Debug)]
pub(super) enum Origin {
    /// A file or folder on this machine.
    Local(PathBuf),
    /// In a place, at a path.
    Remote {
        place: Arc<dyn Place>,
        path: String,
        /// The URI of exactly what is read.
        uri: String,
    },
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            files: LocalFiles::default(),
            rules: Vec::new(),
            remote_open: true,
            guard: Guard::default(),
            hub: HubConfig::default(),
            uploads: None,
            max_bytes: u64::MAX,
            patience: Patience::default(),
            buckets: OpenBuckets::default(),
        }
    }
}

impl Sources {
    /// The URI of an absolute local path; `None` of a relative one.
    pub fn file_uri(path: &Path) -> Option<String> {
        Url::from_file_path(path).ok().map(String::from)
    }

    /// What is wrong with a tenant's URI as far as its text shows; nothing is read.
    pub fn objection(&self, tenant: &Tenant, pointer: &str, uri: &str) -> Option<Objection> {
        let error = self.admit(tenant, uri).err()?;
        let objection = Objection::new(pointer, ObjectionCode::InvalidUri, format!("{error} ({})", error.code()));
        let objection = match error {
            StorageError::Scheme { .. } => objection.allowed(SCHEMES),
            _ => objection,
        };
        Some(match error.hint() {
            Some(hint) => objection.hint(hint),
            None => objection,
        })
    }

    /// What a URI names, if the tenant may read it as far as its text shows.
    fn admit(&self, tenant: &Tenant, uri: &str) -> Result<Location, StorageError> {
        let location = Location::parse(uri)?;
        let not_allowed = |reason: &str| StorageError::NotAllowed { uri: uri.to_owned(), reason: reason.to_owned() };
        match &location {
            Location::File(path) => {
                self.files.admit(uri, path)?;
                return Ok(location);
            }
            Location::Upload(_) if self.uploads.is_some() => return Ok(location),
            Location::Upload(_) => return Err(not_allowed("there are no uploads here")),
            Location::Web(url) if !self.trusts(tenant, url) => {
                self.guard
                    .check(url.as_str())
                    .map_err(|reason| StorageError::Address { uri: uri.to_owned(), reason })?;
            }
            Location::Bucket { .. } if self.rules.is_empty() && !self.remote_open => {
                return Err(not_allowed("no bucket is open on this server"));
            }
            Location::Bucket { .. } | Location::Hub(_) | Location::Web(_) => {}
        }
        if self.rules.is_empty() || self.names(tenant, &location.canonical()) {
            return Ok(location);
        }
        Err(not_allowed("it is not among the places that are open to you"))
    }

    /// Whether a rule names the very server of a URL, which may then be anywhere.
    fn trusts(&self, tenant: &Tenant, url: &Url) -> bool {
        self.rules.iter().any(|rule| rule.names_host() && rule.opens(tenant, url.as_str()))
    }

    /// Whether a rule opens a place to a tenant.
    fn names(&self, tenant: &Tenant, place: &str) -> bool {
        self.rules.iter().any(|rule| rule.opens(tenant, place))
    }

    /// The local path of a `file://` input. Local files are used where they are, never copied.
    pub fn locate(&self, uri: &str) -> Result<PathBuf, StorageError> {
        match Location::parse(uri)? {
            Location::File(path) => self.files.find(uri, &path),
            _ => Err(StorageError::Scheme { scheme: uri.split(':').next().unwrap_or_default().to_owned() }),
        }
    }

    /// Where a tenant's input is.
    pub(super) async fn open(&self, tenant: &Tenant, uri: &str) -> Result<Origin, StorageError> {
        let remote = |place: Arc<dyn Place>, path: String, uri: String| Ok(Origin::Remote { place, path, uri });
        match self.admit(tenant, uri)? {
            Location::File(path) => Ok(Origin::Local(self.files.find(uri, &path)?)),
            Location::Bucket { scheme, bucket, key } => {
                let place = Arc::new(self.bucket(scheme, &bucket)?);
                remote(place, key.to_string(), uri.to_owned())
            }
            Location::Web(url) => {
                let web = Web::new(self.guard);
                let web = if self.trusts(tenant, &url) { web.with_named(&url) } else { web };
                remote(Arc::new(web), url.to_string(), uri.to_owned())
            }
            Location::Hub(at) => {
                let hub = Hub::open(&self.hub, self.guard, &at, uri).await?;
                let below = if at.path.as_ref().is_empty() { String::new() } else { format!("/{}", at.path) };
                let pinned = format!("{}{below}", hub.pinned);
                remote(Arc::new(hub), at.path.to_string(), pinned)
            }
            Location::Upload(key) => {
                let Some(uploads) = &self.uploads else {
                    return Err(StorageError::NotFound { uri: uri.to_owned() });
                };
                let key = Artifacts::upload_key(tenant, &key);
                match (uploads.folder(), uploads.bucket()) {
                    // A place of our own: no root need open it.
                    (Some(folder), _) => LocalFiles::Every.find(uri, &folder.join(key.as_ref())).map(Origin::Local),
                    (None, Some(bucket)) => remote(Arc::new(bucket), key.to_string(), uri.to_owned()),
                    (None, None) => Err(StorageError::NotFound { uri: uri.to_owned() }),
                }
            }
        }
    }

    fn bucket(&self, scheme: &str, name: &str) -> Result<Bucket, StorageError> {
        let mut buckets = self.buckets.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{scheme}://{name}");
        if let Some(bucket) = buckets.get(&key) {
            return Ok(bucket.clone());
        }
        let bucket = Bucket::open(scheme, name, "")?;
        buckets.insert(key, bucket.clone());
        Ok(bucket)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_files_inside_the_roots_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for dir in [&inside, &outside] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("a b.onnx"), "x").unwrap();
        }
        symlink(&outside, inside.join("link")).unwrap();
        let sources = Sources { files: LocalFiles::below([inside.clone()]), ..Sources::default() };
        let uri = |path: &Path| Sources::file_uri(path).unwrap();
        assert!(sources.locate(&uri(&inside.join("a b.onnx"))).is_ok());
        for hidden in [
            uri(&outside.join("a b.onnx")),
            uri(&outside.join("no such file")),
            uri(&inside.join("link/a b.onnx")),
            uri(&inside.join("link/no such file")),
            format!("{}/../out/a%20b.onnx", uri(&inside)),
            format!("{}/%2e%2e/out/a%20b.onnx", uri(&inside)),
        ] {
            assert!(matches!(sources.locate(&hidden), Err(StorageError::NotAllowed { .. })), "{hidden}");
        }
        assert!(matches!(sources.locate(&uri(&inside.join("no"))), Err(StorageError::NotFound { .. })));
        assert!(Sources::default().locate(&uri(&outside.join("a b.onnx"))).is_ok());
        let none = Sources { files: LocalFiles::below([]), ..Sources::default() };
        assert!(matches!(none.locate(&uri(&inside.join("a b.onnx"))), Err(StorageError::NotAllowed { .. })));
    }

    /// The door and the worker agree, and neither tells what is there: by text alone, a link into a root is outside.
    #[test]
    fn a_path_outside_the_roots_is_objected_to_unread() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::write(real.join("m.onnx"), "x").unwrap();
        symlink(&real, &link).unwrap();
        let tenant: Tenant = "a".parse().unwrap();
        let objection = |sources: &Sources, path: &Path| {
            let uri = Sources::file_uri(path).unwrap();
            sources.objection(&tenant, "/model/uri", &uri).map(|objection| objection.message.replace(&uri, "URI"))
        };
        let by_link = Sources { files: LocalFiles::below([link.clone()]), ..Sources::default() };
        for inside in [link.join("m.onnx"), link.join("missing"), real.join("m.onnx")] {
            assert_eq!(objection(&by_link, &inside), None, "{}", inside.display());
        }
        assert!(by_link.locate(&Sources::file_uri(&link.join("m.onnx")).unwrap()).is_ok());
        let closed = Sources { files: LocalFiles::below([]), ..Sources::default() };
        for sources in [closed, by_link] {
            let there = objection(&sources, Path::new("/etc/passwd")).unwrap();
            assert!(there.contains("uri_not_allowed"), "{there}");
            assert_eq!(Some(there), objection(&sources, Path::new("/etc/no-such-file")));
        }
    }

    #[test]
    fn rules_say_who_may_read_what() {
        let rules = ["a=s3://team-a/", "s3://shared", "https://models.example.com/", "hf://owner/"];
        let sources = Sources { rules: rules.map(|rule| rule.parse().unwrap()).into(), ..Sources::default() };
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let open = |tenant, uri| sources.objection(tenant, "/model/uri", uri).is_none();
        assert!(open(&a, "s3://team-a/x") && !open(&b, "s3://team-a/x"));
        assert!(open(&a, "s3://shared/x") && open(&b, "s3://shared/x") && !open(&b, "s3://shared2/x"));
        assert!(open(&b, "https://models.example.com/m.onnx") && !open(&b, "https://example.com/m.onnx"));
        assert!(open(&b, "hf://owner/name") && !open(&b, "hf://other/name") && !open(&b, "gs://shared/x"));
        let closed = Sources { remote_open: false, ..Sources::default() };
        assert!(closed.objection(&a, "", "s3://shared/x").unwrap().message.contains("uri_not_allowed"));
        assert_eq!(closed.objection(&a, "", "https://example.com/x"), None);
        assert_eq!(closed.objection(&a, "", "file:///m.onnx"), None);
        assert!(closed.objection(&a, "", "upload://x").is_some());
    }
}
