//! [`Artifacts`]: the store that results are kept in, and uploads.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use buffa::bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart,
    local::LocalFileSystem, path::Path as Key, signer::SignedUrlOptions,
};
use tokio::io::AsyncReadExt;
use ureq::http::Method;

use super::{
    StorageError,
    bucket::{Bucket, read_error},
    error::Cause,
    multipart::{part_bytes, stoppable},
    place::ReadError,
};
use crate::{
    job::{ArtifactBody, ArtifactError, ArtifactReader},
    report::Artifact,
};

/// The store of results. Keys are `<prefix>/<name>`.
#[derive(Clone, Debug)]
pub struct Artifacts {
    kind: Kind,
    /// For how long clients are given URLs of the store's own; they are given the bytes without it.
    links: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A folder.
    Local { store: Arc<LocalFileSystem>, folder: PathBuf },
    /// A bucket.
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
                Ok(Artifacts { kind: Kind::Bucket(bucket), links: None })
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
    pub(super) fn bucket(&self) -> Option<Bucket> {
        match &self.kind {
            Kind::Local { .. } => None,
            Kind::Bucket(bucket) => Some(bucket.clone()),
        }
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
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
        Ok(Artifacts { kind: Kind::Local { store: Arc::new(store), folder }, links: None })
    }

    /// Stores the files of a folder under a prefix of their own, in order, and checks each size. Nobody sees them until
    /// the job names the prefix, so a publication that breaks off leaves nothing half visible. `cancel` is looked at now
    /// and then.
    pub async fn publish(
        &self,
        prefix: &str,
        folder: &Path,
        artifacts: &[Artifact],
        cancel: &AtomicBool,
    ) -> Result<(), StorageError> {
        for artifact in artifacts {
            let key = Key::from(format!("{prefix}/{}", artifact.name));
            let size = match self.put_file(&key, &folder.join(&artifact.name), cancel).await {
                Ok(()) => self.store().head(&key).await.map(|meta| meta.size).map_err(Into::into),
                Err(error) => Err(error),
            };
            let failed = |source| StorageError::Publish { name: artifact.name.clone(), source };
            let size = size.map_err(failed)?;
            if size != artifact.size {
                let note = format!("{size} bytes were stored of {}", artifact.size);
                return Err(failed(io::Error::other(note).into()));
            }
        }
        Ok(())
    }

    async fn put_file(&self, key: &Key, path: &Path, cancel: &AtomicBool) -> Result<(), Cause> {
        let mut file = tokio::fs::File::open(path).await?;
        let size = file.metadata().await?.len();
        let part = part_bytes(size);
        if size <= part as u64 {
            let mut content = Vec::new();
            file.read_to_end(&mut content).await?;
            return stoppable(self.create(key, content.into()), cancel).await;
        }
        let next = |mut file: tokio::fs::File| async move {
            let mut bytes = Vec::with_capacity(part);
            match (&mut file).take(part as u64).read_to_end(&mut bytes).await {
                Ok(0) => None,
                read => Some((read.map(|_| Bytes::from(bytes)), file)),
            }
        };
        self.put_parts(key, stream::unfold(file, next), cancel).await.map(drop)
    }

    /// Stores a small file where there is none: two attempts cannot mix.
    async fn create(&self, key: &Key, content: PutPayload) -> Result<(), Cause> {
        let size = content.content_length() as u64;
        match self.store().put_opts(key, content, PutMode::Create.into()).await {
            // The answer to a first try of ours may have been lost: the prefix is this attempt's own.
            Err(Error::AlreadyExists { .. }) if self.store().head(key).await?.size == size => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Stores what comes in parts, all of one size but the last.
    pub(super) async fn put_parts(
        &self,
        key: &Key,
        parts: impl Stream<Item = io::Result<Bytes>> + Send,
        cancel: &AtomicBool,
    ) -> Result<u64, Cause> {
        let store = match &self.kind {
            Kind::Bucket(bucket) => return bucket.put_parts(key, parts, cancel).await,
            Kind::Local { store, .. } => store,
        };
        let mut upload = WriteMultipart::new(store.put_multipart(key).await?);
        let mut parts = std::pin::pin!(parts);
        let mut size = 0;
        let written = async {
            while let Some(part) = parts.next().await {
                let part = part?;
                size += part.len() as u64;
                upload.wait_for_capacity(2).await?;
                upload.put(part);
            }
            Ok(())
        };
        match stoppable(written, cancel).await {
            Ok(()) => upload.finish().await.map(|_| size).map_err(Into::into),
            Err(error) => {
                upload.abort().await?;
                Err(error)
            }
        }
    }

    /// Removes everything under a prefix.
    pub async fn discard(&self, prefix: &str) {
        self.keep_only(prefix, &[]).await;
    }

    /// Removes everything under a prefix but these keys, and abandons what was being uploaded there.
    pub async fn keep_only(&self, prefix: &str, kept: &[String]) {
        if let Kind::Bucket(bucket) = &self.kind {
            bucket.sweep_uploads(prefix, |_| true).await;
        }
        let mut keys = self.store().list(Some(&Key::from(prefix)));
        while let Some(Ok(meta)) = keys.next().await {
            if kept.iter().any(|key| Key::from(key.as_str()) == meta.location) {
                continue;
            }
            if let Err(error) = self.store().delete(&meta.location).await {
                tracing::warn!(key = %meta.location, %error, "an orphaned artifact could not be removed");
            }
        }
        if let Kind::Local { folder, .. } = &self.kind {
            sweep_staged(&folder.join(prefix));
        }
    }
}

/// Removes what a process that was killed left of uploads to a local store: files that end in `#` and a number, which the
/// store does not list, and folders that are empty without them.
fn sweep_staged(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let staged = name.to_str().and_then(|name| name.rsplit_once('#'));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep_staged(&path);
        } else if staged.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
            let _ = fs::remove_file(&path);
        }
    }
    // Fails on one that is not empty, as it should.
    let _ = fs::remove_dir(folder);
}

#[async_trait]
impl ArtifactReader for Artifacts {
    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<ArtifactBody, ArtifactError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let got = self.store().get_opts(&Key::from(key), options).await;
        let got = got.map_err(|error| match read_error(error) {
            ReadError::NotFound => ArtifactError::Gone { key: key.to_owned() },
            error => ArtifactError::Store(Box::new(error.at(key))),
        })?;
        Ok(Box::pin(got.into_stream().map(|part| part.map_err(io::Error::other))))
    }

    async fn link(&self, key: &str, name: &str) -> Result<Option<String>, ArtifactError> {
        let (Kind::Bucket(bucket), Some(time)) = (&self.kind, self.links) else { return Ok(None) };
        let key = Key::from(key);
        let disposition = format!("attachment; filename=\"{}\"", name.replace(['"', '\\'], "_"));
        let options = SignedUrlOptions::new().with_query([("response-content-disposition", disposition)]);
        let signed = match bucket.signer.signed_url_opts(Method::GET, &key, time, &options).await {
            // A store whose signature covers nothing of the kind.
            Err(Error::NotSupported { .. }) => bucket.signer.signed_url(Method::GET, &key, time).await,
            other => other,
        };
        signed.map(|url| Some(url.to_string())).map_err(|e| ArtifactError::Store(Box::new(e)))
    }

    async fn remove(&self, prefix: &str) {
        self.discard(prefix).await;
    }

    async fn check(&self) -> Result<(), ArtifactError> {
        // A listing of nothing: the store answers, and takes our credentials.
        let probe = Key::from("readyz");
        self.store().list_with_delimiter(Some(&probe)).await.map(drop).map_err(|e| ArtifactError::Store(Box::new(e)))
    }
}
