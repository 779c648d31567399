//! [`Artifacts`]: the object store that results are kept in.

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path as Key};
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
}

impl Artifacts {
    /// A store in a local folder, which is created.
    pub fn local(folder: &Path) -> Result<Self, StorageError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| StorageError::Store { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|e| failed(e.into()))?;
        let store =
            LocalFileSystem::new_with_prefix(folder).map_err(|e| failed(e.into()))?.with_automatic_cleanup(true);
        Ok(Artifacts { store: Arc::new(store) })
    }

    /// Stores the files of a folder under a prefix of their own, in order, and checks each size. Nobody sees them until
    /// the job names the prefix, so a publication that breaks off leaves nothing half visible.
    pub async fn publish(&self, prefix: &str, folder: &Path, artifacts: &[Artifact]) -> Result<(), StorageError> {
        for artifact in artifacts {
            let key = Key::from(format!("{prefix}/{}", artifact.name));
            let stored = self.put(&key, &folder.join(&artifact.name)).await;
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

    async fn put(&self, key: &Key, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        const PART: usize = 8 << 20;
        let mut file = tokio::fs::File::open(path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(self.store.put_multipart(key).await?, PART);
        let mut part = Vec::with_capacity(PART);
        loop {
            part.clear();
            if (&mut file).take(PART as u64).read_to_end(&mut part).await? == 0 {
                break;
            }
            // At most two parts in flight: memory stays flat however large the file.
            upload.wait_for_capacity(2).await?;
            upload.write(&part);
        }
        upload.finish().await?;
        Ok(())
    }

    /// Removes whatever a publication that failed has stored.
    pub async fn discard(&self, prefix: &str) {
        let mut keys = self.store.list(Some(&Key::from(prefix)));
        while let Some(Ok(meta)) = keys.next().await {
            if let Err(error) = self.store.delete(&meta.location).await {
                tracing::warn!(key = %meta.location, %error, "an orphaned artifact could not be removed");
            }
        }
    }
}

#[async_trait]
impl ArtifactReader for Artifacts {
    async fn read(&self, key: &str) -> Result<ArtifactBody, ArtifactError> {
        let got = self.store.get(&Key::from(key)).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => ArtifactError::Gone { key: key.to_owned() },
            other => ArtifactError::Store(Box::new(other)),
        })?;
        Ok(Box::pin(got.into_stream().map(|part| part.map_err(io::Error::other))))
    }
}
