//! [`ArtifactReader`]: the port to wherever artifacts are kept, for those who serve them.

use std::{io, pin::Pin};

use buffa::bytes::Bytes;
use futures_util::Stream;

/// The content of an artifact, in parts.
pub type ArtifactBody = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Why an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there any more.
    #[error("the artifact `{key}` is gone")]
    Gone {
        /// Its key.
        key: String,
    },
    /// The store failed.
    #[error("the artifact store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads artifacts by key.
#[async_trait::async_trait]
pub trait ArtifactReader: std::fmt::Debug + Send + Sync {
    /// The content of an artifact.
    async fn read(&self, key: &str) -> Result<ArtifactBody, ArtifactError>;
}
