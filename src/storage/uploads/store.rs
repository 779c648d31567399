//! Files that clients bring to the service itself, each tenant's apart: `uploads/<tenant>/<name>` in the artifact store.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path as Key};

use super::body::{End, Gathered, Parts, Received, Room};
use crate::{
    control::Canceller,
    job::{ArtifactBody, NewUpload, Tenant, Upload, UploadError, Uploads},
    storage::{
        Artifacts,
        places::{ReadError, read_error},
    },
};

const UPLOADS: &str = "uploads";

impl Artifacts {
    /// Where an upload of a tenant is.
    pub(in crate::storage) fn upload_key(tenant: &Tenant, name: &Key) -> Key {
        [UPLOADS, tenant.as_str()].into_iter().map(Into::into).chain(name.parts()).collect()
    }

    /// The bytes of all uploads of a tenant.
    pub async fn upload_bytes(&self, tenant: &Tenant) -> Result<u64, UploadError> {
        let root = Self::upload_key(tenant, &Key::default());
        let sum = async |sum: u64, meta: ObjectMeta| Ok(sum.saturating_add(meta.size));
        self.store().list(Some(&root)).try_fold(0, sum).await.map_err(failed)
    }

    /// The tenants that have uploads.
    pub async fn uploading_tenants(&self) -> Result<Vec<Tenant>, UploadError> {
        let found = self.store().list_with_delimiter(Some(&Key::from(UPLOADS))).await.map_err(failed)?;
        Ok(found.common_prefixes.iter().filter_map(|prefix| prefix.filename()?.parse().ok()).collect())
    }

    /// Removes uploads older than this, and what is left of those that broke off.
    pub async fn expire_uploads(&self, age: Option<Duration>) {
        const BROKEN: Duration = Duration::from_secs(24 * 3600);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let older = |meta: &ObjectMeta, age: Duration| {
            let since = Duration::from_millis(u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0));
            now.saturating_sub(since) > age
        };
        if let Some(bucket) = self.bucket() {
            bucket.sweep_uploads(UPLOADS, |note| older(note, BROKEN)).await;
        }
        let Some(age) = age else { return };
        let mut files = self.store().list(Some(&Key::from(UPLOADS)));
        while let Some(Ok(meta)) = files.next().await {
            if older(&meta, age)
                && let Err(error) = self.store().delete(&meta.location).await
            {
                tracing::warn!(key = %meta.location, %error, "an upload could not be removed");
            }
        }
    }
}

impl Artifacts {
    /// Objects to a file where there is a folder, and to one in a folder where there is a file: a store of folders cannot have
    /// both, and `upload://name` would not say which of them it means.
    async fn check_place(&self, tenant: &Tenant, path: &Key) -> Result<(), UploadError> {
        let parts: Vec<_> = path.parts().collect();
        for length in 1..parts.len() {
            let folder: Key = parts.iter().take(length).cloned().collect();
            match self.store().head(&Self::upload_key(tenant, &folder)).await.map_err(failed) {
                Ok(_) => return Err(UploadError::FileAndFolder { name: folder.to_string() }),
                Err(UploadError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let key = Self::upload_key(tenant, path);
        let below = self.store().list(Some(&key)).try_filter(|meta| future::ready(meta.location != key));
        match std::pin::pin!(below).try_next().await.map_err(failed)? {
            Some(_) => Err(UploadError::FileAndFolder { name: path.to_string() }),
            None => Ok(()),
        }
    }
}

fn failed(error: object_store::Error) -> UploadError {
    match read_error(error) {
        ReadError::NotFound => UploadError::NotFound,
        error => UploadError::Store(Box::new(error.at("the artifact store"))),
    }
}

#[async_trait]
impl Uploads for Artifacts {
    async fn put(&self, tenant: &Tenant, new: NewUpload, body: ArtifactBody) -> Result<Upload, UploadError> {
        let NewUpload { name, limit, quota, sha256 } = new;
        let path = Key::parse(&name).map_err(|_| UploadError::Name)?;
        let key = Self::upload_key(tenant, &path);
        self.check_place(tenant, &path).await?;
        let arriving = match quota {
            Some(quota) => Some(Arc::new(self.accounts.begin(tenant, quota, self.upload_bytes(tenant).await?))),
            None => None,
        };
        let room = Room { limit, arriving: arriving.clone(), folder: self.folder().map(Path::to_owned) };
        let mut body = Gathered::new(body, room, sha256);
        let first = body.next().await?.ok_or(UploadError::Empty)?;
        let Received { sha256, size } = if body.ended {
            let received = body.finish()?;
            self.store().put(&key, first.into()).await.map_err(failed)?;
            received
        } else {
            let end = End::default();
            let parts = Parts { body, in_hand: Some(first), end: Arc::clone(&end) };
            let stored = self.put_parts(&key, stream::unfold(parts, Parts::next), &Canceller::default()).await;
            let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (stored, end) {
                (_, Some(Err(error))) => return Err(error),
                (Err(error), _) => return Err(UploadError::Store(error)),
                (Ok(_), Some(Ok(received))) => received,
                (Ok(_), None) => return Err(UploadError::Broken("it has no end".into())),
            }
        };
        if let Some(arriving) = arriving {
            arriving.keep();
        }
        Ok(Upload { name, size, sha256: Some(sha256), modified: None })
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Upload>, UploadError> {
        let root = Self::upload_key(tenant, &Key::default());
        let found: Vec<_> = self.store().list(Some(&root)).try_collect().await.map_err(failed)?;
        let mut uploads: Vec<Upload> = found
            .into_iter()
            .map(|meta| Upload {
                name: meta.location.parts().skip(2).map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
                size: meta.size,
                sha256: None,
                modified: Some(meta.last_modified.timestamp_millis()),
            })
            .collect();
        uploads.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(uploads)
    }

    async fn delete(&self, tenant: &Tenant, name: &str) -> Result<(), UploadError> {
        let key = Self::upload_key(tenant, &Key::parse(name).map_err(|_| UploadError::NotFound)?);
        self.store().head(&key).await.map_err(failed)?;
        self.store().delete(&key).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn put(store: &Artifacts, name: &str) -> Result<Upload, UploadError> {
        let new = NewUpload { name: name.to_owned(), limit: 100, quota: None, sha256: None };
        store.put(&Tenant::default(), new, Box::pin(stream::iter([Ok(Bytes::from_static(b"x"))]))).await
    }

    #[tokio::test]
    async fn a_name_is_that_of_a_file_or_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = Artifacts::local(folder.path()).unwrap();
        for name in ["a", "b/c/d", "b/c/e", "a", "ab", "b/c/d"] {
            put(&store, name).await.unwrap();
        }
        for (name, both) in [("a/b", "a"), ("a/b/c", "a"), ("b", "b"), ("b/c", "b/c"), ("b/c/d/e", "b/c/d")] {
            let error = put(&store, name).await.unwrap_err();
            assert!(matches!(&error, UploadError::FileAndFolder { name } if name == both), "{name}: {error}");
        }
        store.delete(&Tenant::default(), "a").await.unwrap();
        put(&store, "a/b").await.unwrap();
    }
}
