//! Files that clients bring to the service itself, each tenant's apart: `uploads/<tenant>/<name>` in the artifact store.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path as Key};
use sha2::{Digest, Sha256};

use super::{
    Artifacts,
    places::{ReadError, read_error},
};
use crate::{
    control::Canceller,
    digest::hex,
    job::{ArtifactBody, NewUpload, Tenant, Upload, UploadError, Uploads},
};

const UPLOADS: &str = "uploads";

impl Artifacts {
    /// Where an upload of a tenant is.
    pub(super) fn upload_key(tenant: &Tenant, name: &Key) -> Key {
        [UPLOADS, tenant.as_str()].into_iter().map(Into::into).chain(name.parts()).collect()
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

fn failed(error: object_store::Error) -> UploadError {
    match read_error(error) {
        ReadError::NotFound => UploadError::NotFound,
        error => UploadError::Store(Box::new(error.at("the artifact store"))),
    }
}

#[async_trait]
impl Uploads for Artifacts {
    async fn put(&self, tenant: &Tenant, new: NewUpload, body: ArtifactBody) -> Result<Upload, UploadError> {
        let NewUpload { name, limit, sha256 } = new;
        let path = Key::parse(&name).map_err(|_| UploadError::Name)?;
        let key = Self::upload_key(tenant, &path);
        let (hasher, part) = (Sha256::new(), BytesMut::new());
        let mut state = Gathered { body, part, hasher, size: 0, limit, sha256, ended: false };
        let first = Some(state.next().await?.ok_or(UploadError::Empty)?);
        let (digest, size) = match (first, state.ended) {
            (first, true) => {
                let found = state.finish()?;
                self.store().put(&key, first.unwrap_or_default().into()).await.map_err(failed)?;
                found
            }
            (first, false) => {
                let end = Arc::new(Mutex::new(None));
                let parts = stream::unfold((state, first, Arc::clone(&end)), step);
                let stored = self.put_parts(&key, parts, &Canceller::default()).await;
                let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
                match (stored, end) {
                    (_, Some(Err(error))) => return Err(error),
                    (Err(error), _) => return Err(UploadError::Store(error)),
                    (Ok(_), Some(Ok(found))) => found,
                    (Ok(_), None) => return Err(UploadError::Broken("it has no end".into())),
                }
            }
        };
        Ok(Upload { name, size, sha256: Some(digest), modified: None })
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

/// How a body ended: with a digest and a size.
type End = Arc<Mutex<Option<Result<(String, u64), UploadError>>>>;
type Step = (Gathered, Option<Bytes>, End);

/// The next part of a body. The last one is not let through before the digest is known to be right.
async fn step((mut state, part, end): Step) -> Option<(io::Result<Bytes>, Step)> {
    let part = part?;
    let next = match state.next().await {
        Ok(None) => state.finish().map(|found| (None, Some(found))),
        other => other.map(|next| (next, None)),
    };
    let mut outcome = end.lock().unwrap_or_else(PoisonError::into_inner);
    let (item, next) = match next {
        Ok((next, found)) => {
            *outcome = found.map(Ok);
            (Ok(part), next)
        }
        Err(error) => {
            let why = io::Error::other(error.to_string());
            *outcome = Some(Err(error));
            (Err(why), None)
        }
    };
    drop(outcome);
    Some((item, (state, next, end)))
}

/// A body as it arrives, in parts of one size.
struct Gathered {
    body: ArtifactBody,
    part: BytesMut,
    hasher: Sha256,
    size: u64,
    limit: u64,
    /// The digest that it must have.
    sha256: Option<String>,
    ended: bool,
}

impl Gathered {
    /// The next part: whole, unless it is the last.
    async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        const LENGTH: usize = 8 << 20;
        while self.part.len() < LENGTH && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) => {
                    self.size += bytes.len() as u64;
                    if self.size > self.limit {
                        return Err(UploadError::TooLarge { limit: self.limit });
                    }
                    self.hasher.update(&bytes);
                    self.part.extend_from_slice(&bytes);
                }
                Some(Err(error)) => return Err(UploadError::Broken(error.into())),
                None => self.ended = true,
            }
        }
        let part = self.part.split_to(LENGTH.min(self.part.len())).freeze();
        Ok((!part.is_empty()).then_some(part))
    }

    /// Digest and size, if the digest is the one that was promised.
    fn finish(&mut self) -> Result<(String, u64), UploadError> {
        let found = hex(&std::mem::take(&mut self.hasher).finalize());
        match &self.sha256 {
            Some(expected) if *expected != found => Err(UploadError::Digest { found }),
            _ => Ok((found, self.size)),
        }
    }
}
