//! [`ArtifactReader`]: the port to where artifacts are stored, as the API uses it.

use std::{io, ops::Range, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;

/// The content of an artifact, in parts.
pub type ArtifactBody = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Why an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there any more.
    #[error("the artifact `{key}` is gone")]
    Gone {
        /// The artifact's key in the store.
        key: String,
    },
    /// The store could not be reached, or refused.
    #[error("the artifact store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads artifacts by key, and removes those of jobs that are forgotten.
#[async_trait::async_trait]
pub trait ArtifactReader: std::fmt::Debug + Send + Sync {
    /// The content of an artifact, or the bytes of a range of it that lies within.
    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<ArtifactBody, ArtifactError>;

    /// A URL of the store's own that anyone may read an artifact at for a while, to be saved under `name`; none where
    /// clients are to be given the bytes.
    async fn link(&self, key: &str, name: &str) -> Result<Option<String>, ArtifactError>;

    /// Removes what there is under a prefix, as far as that is possible now.
    async fn remove(&self, prefix: &str);

    /// Whether the store can be reached.
    async fn check(&self) -> Result<(), ArtifactError>;
}
