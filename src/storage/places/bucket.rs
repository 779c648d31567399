//! [`Bucket`]: S3, Google Cloud Storage and Azure Blob Storage, by their APIs.
//!
//! Credentials come from the environment or the machine's role, as each provider's own tools take them.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::{
    BackoffConfig, ClientConfigKey, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    multipart::MultipartStore,
    path::Path as Key,
    prefix::PrefixStore,
    signer::Signer,
};

use super::place::{Body, Object, Place, ReadError};
use crate::{fault::chain, storage::StorageError};

/// A bucket of an object store, and what it can do beyond reading: uploads in parts, signed links.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Bucket {
    pub(in crate::storage) store: Arc<dyn ObjectStore>,
    pub(in crate::storage) parts: Arc<dyn MultipartParts>,
    pub(in crate::storage) signer: Arc<dyn UrlSigner>,
}

/// A store that takes files in parts whose upload has a name.
pub(in crate::storage) trait MultipartParts: MultipartStore + std::fmt::Debug {}
impl<T: MultipartStore + std::fmt::Debug> MultipartParts for T {}

/// A store that signs URLs.
pub(in crate::storage) trait UrlSigner: Signer + std::fmt::Debug {}
impl<T: Signer + std::fmt::Debug> UrlSigner for T {}

impl Bucket {
    /// The bucket of a scheme, seen from below a prefix. One arm for each provider.
    pub(in crate::storage) fn open(scheme: &str, name: &str, prefix: &str) -> Result<Self, StorageError> {
        let url = format!("{scheme}://{name}");
        let failed = |e: Error| StorageError::Store { place: url.clone(), source: e.into() };
        // A process has one provider of TLS; a second one that wants to be it is turned away, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            max_retries: 8,
            retry_timeout: Duration::from_secs(60),
        };
        // Enough for a part over a slow line; silence is noticed sooner.
        const WHOLE: (ClientConfigKey, &str) = (ClientConfigKey::Timeout, "180 seconds");
        const SILENCE: (ClientConfigKey, &str) = (ClientConfigKey::ReadTimeout, "30 seconds");
        Ok(match scheme {
            "s3" => {
                let key = AmazonS3ConfigKey::Client;
                let builder = AmazonS3Builder::from_env().with_url(&url).with_retry(retry);
                let builder = builder.with_config(key(WHOLE.0), WHOLE.1).with_config(key(SILENCE.0), SILENCE.1);
                Self::of(builder.build().map_err(failed)?, prefix)
            }
            "gs" => {
                let key = GoogleConfigKey::Client;
                let builder = GoogleCloudStorageBuilder::from_env().with_url(&url).with_retry(retry);
                let builder = builder.with_config(key(WHOLE.0), WHOLE.1).with_config(key(SILENCE.0), SILENCE.1);
                Self::of(builder.build().map_err(failed)?, prefix)
            }
            "az" => {
                let key = AzureConfigKey::Client;
                let builder = MicrosoftAzureBuilder::from_env().with_url(&url).with_retry(retry);
                let builder = builder.with_config(key(WHOLE.0), WHOLE.1).with_config(key(SILENCE.0), SILENCE.1);
                Self::of(builder.build().map_err(failed)?, prefix)
            }
            other => return Err(StorageError::Scheme { scheme: other.to_owned() }),
        })
    }

    fn of(store: impl ObjectStore + MultipartStore + Signer + Clone, prefix: &str) -> Self {
        let store = PrefixStore::new(store, prefix);
        Bucket { store: Arc::new(store.clone()), parts: Arc::new(store.clone()), signer: Arc::new(store) }
    }
}

/// What a store's error means for one who reads.
pub(in crate::storage) fn read_error(error: Error) -> ReadError {
    // What S3 says of credentials that are no longer, or never were, valid: an answer 400 or 403 with one of these.
    const STALE: [&str; 5] =
        ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed"];
    match error {
        Error::NotFound { .. } => ReadError::NotFound,
        Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. } => ReadError::Denied(source),
        Error::Precondition { .. } => ReadError::Changed,
        error => {
            let text = chain(&error);
            if text.contains("NoSuchBucket") || text.contains("ContainerNotFound") {
                ReadError::NotFound
            } else if STALE.iter().any(|code| text.contains(code)) {
                ReadError::Denied(error.into())
            } else {
                ReadError::Failed(error.into())
            }
        }
    }
}

/// An ETag without its quotes: Azure's lists leave them out.
fn tag(e_tag: Option<String>) -> Option<String> {
    e_tag.map(|tag| tag.trim_matches('"').to_owned())
}

fn object(meta: ObjectMeta) -> Object {
    let (path, size) = (meta.location.to_string(), Some(meta.size));
    Object { path, size, tag: tag(meta.e_tag), ranges: true, sha256: None }
}

#[async_trait]
impl Place for Bucket {
    async fn head(&self, path: &str) -> Result<Object, ReadError> {
        let key = Key::from(path);
        match self.store.head(&key).await.map_err(read_error) {
            Ok(meta) => Ok(object(meta)),
            Err(ReadError::NotFound) => Err(ReadError::NotFound),
            // An answer to HEAD has no body to say why.
            Err(error) => Err(self.store.get_range(&key, 0..1).await.map_err(read_error).err().unwrap_or(error)),
        }
    }

    async fn list(&self, path: &str) -> Result<Vec<(String, Object)>, ReadError> {
        let prefix = Key::from(path);
        let found: Vec<ObjectMeta> = self.store.list(Some(&prefix)).try_collect().await.map_err(read_error)?;
        let below = |meta: ObjectMeta| {
            let name: Vec<String> = meta.location.prefix_match(&prefix)?.map(|part| part.as_ref().to_owned()).collect();
            (!name.is_empty()).then(|| (name.join("/"), object(meta)))
        };
        Ok(found.into_iter().filter_map(below).collect())
    }

    async fn open(&self, object: &Object, range: Option<Range<u64>>) -> Result<Body, ReadError> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            if_match: object.tag.as_ref().map(|tag| format!("\"{tag}\"")),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&Key::from(object.path.as_str()), options).await.map_err(read_error)?;
        // Not every server heeds the condition.
        let found = tag(got.meta.e_tag.clone());
        if object.tag.is_some() && found.is_some() && found != object.tag {
            return Err(ReadError::Changed);
        }
        Ok(Box::pin(got.into_stream().map_err(read_error)))
    }
}
