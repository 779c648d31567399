//! [`Artifacts`]: the store that results are kept in, and uploads.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{ObjectStore, local::LocalFileSystem};

use crate::storage::{StorageError, error::Cause, places::Bucket, uploads::Accounts};

/// The store of results. Keys are `<prefix>/<name>`.
#[derive(Clone, Debug)]
pub struct Artifacts {
    pub(super) kind: Kind,
    /// For how long clients are given URLs of the store's own; they are given the bytes without it.
    pub(super) links: Option<Duration>,
    /// What tenants upload at the moment.
    pub(in crate::storage) accounts: Accounts,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A folder of this machine, or one that all machines see.
    Local { store: Arc<LocalFileSystem>, folder: PathBuf },
    /// A bucket of an object store, at a prefix.
    Bucket(Bucket),
}

impl Artifacts {
    /// The store at a path or a URI. Credentials come from the surroundings, never from here.
    pub fn open(place: &str) -> Result<Self, StorageError> {
        match place.split_once("://") {
            None => Artifacts::local(Path::new(place)),
            Some(("file", path)) if path.starts_with('/') => Artifacts::local(Path::new(path)),
            Some((scheme @ ("s3" | "gs" | "az"), rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let bucket = Bucket::open(scheme, bucket, prefix.trim_matches('/'))?;
                Ok(Artifacts { kind: Kind::Bucket(bucket), links: None, accounts: Accounts::default() })
            }
            Some((scheme, _)) => Err(StorageError::Scheme { scheme: scheme.to_owned() }),
        }
    }

    /// The same; clients are sent to the store for so long after they asked, if it can sign URLs.
    #[must_use]
    pub fn with_links(self, links: Option<Duration>) -> Self {
        Artifacts { links, ..self }
    }

    /// The folder, of a store that is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Local { folder, .. } => Some(folder),
            Kind::Bucket(_) => None,
        }
    }

    /// The bucket, of a store that is one.
    pub(in crate::storage) fn bucket(&self) -> Option<Bucket> {
        match &self.kind {
            Kind::Local { .. } => None,
            Kind::Bucket(bucket) => Some(bucket.clone()),
        }
    }

    pub(in crate::storage) fn store(&self) -> &dyn ObjectStore {
        match &self.kind {
            Kind::Local { store, .. } => store.as_ref(),
            Kind::Bucket(bucket) => bucket.store.as_ref(),
        }
    }

    /// A store in a local folder, which is created.
    pub fn local(folder: &Path) -> Result<Self, StorageError> {
        let failed = |source: Cause| StorageError::Store { place: folder.display().to_string(), source };
        fs::create_dir_all(folder).map_err(|e| failed(e.into()))?;
        let folder = folder.canonicalize().map_err(|e| failed(e.into()))?;
        let store =
            LocalFileSystem::new_with_prefix(&folder).map_err(|e| failed(e.into()))?.with_automatic_cleanup(true);
        Ok(Artifacts {
            kind: Kind::Local { store: Arc::new(store), folder },
            links: None,
            accounts: Accounts::default(),
        })
    }
}
