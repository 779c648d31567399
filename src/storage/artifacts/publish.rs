//! Storing artifacts: a job's files under a prefix of their own, and streams in parts.

use std::{io, path::Path};

use bytes::Bytes;
use futures_util::{Stream, stream};
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutMode, PutPayload, path::Path as Key};
use tokio::io::AsyncReadExt;

use super::{
    multipart::{part_bytes, put_all, stoppable},
    store::{Artifacts, Kind},
};
use crate::{
    control::Canceller,
    report::Artifact,
    storage::{StorageError, error::Cause},
};

impl Artifacts {
    /// Stores the files of a folder under a prefix of their own, in order, and checks each size. Nobody sees them until
    /// the job names the prefix, so a publication that breaks off leaves nothing half visible. `canceller` is looked at now
    /// and then.
    pub async fn publish(
        &self,
        prefix: &str,
        folder: &Path,
        artifacts: &[Artifact],
        canceller: &Canceller,
    ) -> Result<(), StorageError> {
        for artifact in artifacts {
            let key = Key::from(format!("{prefix}/{}", artifact.name));
            let size = match self.put_file(&key, &folder.join(&artifact.name), canceller).await {
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

    async fn put_file(&self, key: &Key, path: &Path, canceller: &Canceller) -> Result<(), Cause> {
        let mut file = tokio::fs::File::open(path).await?;
        let size = file.metadata().await?.len();
        let part = part_bytes(size);
        if size <= part as u64 {
            let mut content = Vec::new();
            file.read_to_end(&mut content).await?;
            return stoppable(self.create(key, content.into()), canceller).await;
        }
        let next = |mut file: tokio::fs::File| async move {
            let mut bytes = Vec::with_capacity(part);
            match (&mut file).take(part as u64).read_to_end(&mut bytes).await {
                Ok(0) => None,
                read => Some((read.map(|_| Bytes::from(bytes)), file)),
            }
        };
        self.put_parts(key, stream::unfold(file, next), canceller).await.map(drop)
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
    pub(in crate::storage) async fn put_parts(
        &self,
        key: &Key,
        parts: impl Stream<Item = io::Result<Bytes>> + Send,
        canceller: &Canceller,
    ) -> Result<u64, Cause> {
        let store = match &self.kind {
            Kind::Bucket(bucket) => return bucket.put_parts(key, parts, canceller).await,
            Kind::Local { store, .. } => store,
        };
        let mut upload = store.put_multipart(key).await?;
        let stored = async {
            let (_, size) = put_all(parts, |_, part| upload.put_part(part)).await?;
            upload.complete().await?;
            Ok(size)
        };
        let stored = stoppable(stored, canceller).await;
        if stored.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, %key, "what was written of an artifact stays");
        }
        stored
    }
}
