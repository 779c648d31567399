//! [`Artifacts`]: the object store that results are kept in.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path as Key, prefix::PrefixStore,
};
use tokio::io::AsyncReadExt;

use super::StorageError;
use crate::{
    job::{ArtifactBody, ArtifactError, ArtifactReader},
    report::Artifact,
};

/// The store of results. Keys are `<prefix>/<name>`.
#[derive(Clone, Debug)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// The folder that a local store is in.
    folder: Option<PathBuf>,
}

impl Artifacts {
    /// The store at a path or a URI. One arm for each scheme. Credentials come from the surroundings, never from here.
    pub fn open(place: &str) -> Result<Self, StorageError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| StorageError::Store { place: place.to_owned(), source };
        match place.split_once("://") {
            None => Artifacts::local(Path::new(place)),
            Some(("file", path)) if path.starts_with('/') => Artifacts::local(Path::new(path)),
            Some(("s3", rest)) => {
                // A process has one provider of TLS; a second one that wants to be it is turned away, and that is fine.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let bucket = AmazonS3Builder::from_env().with_url(place).build().map_err(|e| failed(e.into()))?;
                let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix.trim_matches('/'));
                let store: Arc<dyn ObjectStore> = match prefix {
                    "" => Arc::new(bucket),
                    prefix => Arc::new(PrefixStore::new(bucket, prefix)),
                };
                Ok(Artifacts { store, folder: None })
            }
            Some((scheme, _)) => Err(StorageError::Scheme { scheme: scheme.to_owned() }),
        }
    }

    /// The folder, of a store that is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// A store in a local folder, which is created.
    pub fn local(folder: &Path) -> Result<Self, StorageError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StorageError::Store {
            place: folder.display().to_string(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|e| failed(e.into()))?;
        let store =
            LocalFileSystem::new_with_prefix(folder).map_err(|e| failed(e.into()))?.with_automatic_cleanup(true);
        Ok(Artifacts { store: Arc::new(store), folder: Some(folder.to_owned()) })
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
            let stored = self.put(&key, &folder.join(&artifact.name), cancel).await;
            let size = match stored {
                Ok(()) => self.store.head(&key).await.map(|meta| meta.size).map_err(Into::into),
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

    async fn put(
        &self,
        key: &Key,
        path: &Path,
        cancel: &AtomicBool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        const PART: usize = 8 << 20;
        let mut file = tokio::fs::File::open(path).await?;
        if file.metadata().await?.len() <= PART as u64 {
            let mut content = Vec::new();
            file.read_to_end(&mut content).await?;
            self.store.put(key, content.into()).await?;
            return Ok(());
        }
        let mut upload = WriteMultipart::new_with_chunk_size(self.store.put_multipart(key).await?, PART);
        let mut part = Vec::with_capacity(PART);
        loop {
            part.clear();
            if (&mut file).take(PART as u64).read_to_end(&mut part).await? == 0 {
                break;
            }
            if cancel.load(Ordering::Relaxed) {
                // Also removes the parts that are there.
                upload.abort().await?;
                return Err(io::Error::from(io::ErrorKind::Interrupted).into());
            }
            // At most two parts in flight: memory stays flat however large the file.
            upload.wait_for_capacity(2).await?;
            upload.write(&part);
        }
        upload.finish().await?;
        Ok(())
    }

    /// Removes everything under a prefix.
    pub async fn discard(&self, prefix: &str) {
        self.keep_only(prefix, &[]).await;
    }

    /// Removes everything under a prefix but these keys.
    pub async fn keep_only(&self, prefix: &str, kept: &[String]) {
        let mut keys = self.store.list(Some(&Key::from(prefix)));
        while let Some(Ok(meta)) = keys.next().await {
            if kept.iter().any(|key| Key::from(key.as_str()) == meta.location) {
                continue;
            }
            if let Err(error) = self.store.delete(&meta.location).await {
                tracing::warn!(key = %meta.location, %error, "an orphaned artifact could not be removed");
            }
        }
        if let Some(folder) = &self.folder {
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
        let got = self.store.get_opts(&Key::from(key), options).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => ArtifactError::Gone { key: key.to_owned() },
            other => ArtifactError::Store(Box::new(other)),
        })?;
        Ok(Box::pin(got.into_stream().map(|part| part.map_err(io::Error::other))))
    }

    async fn remove(&self, prefix: &str) {
        self.discard(prefix).await;
    }

    async fn check(&self) -> Result<(), ArtifactError> {
        // A listing of nothing: the store answers, and takes our credentials.
        let probe = Key::from("readyz");
        self.store.list_with_delimiter(Some(&probe)).await.map(drop).map_err(|e| ArtifactError::Store(Box::new(e)))
    }
}
