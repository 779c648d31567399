//! What can go wrong between us and the places that data lives in.

use std::io;

use crate::fault::{Fault, FaultKind};

/// What can go wrong with an input or an artifact.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The text is not a URI.
    #[error("`{uri}` is not a URI: {reason}")]
    Malformed {
        /// The text.
        uri: String,
        /// Why.
        reason: String,
    },
    /// The scheme is not one of ours.
    #[error("the scheme `{scheme}:` is not supported")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A file outside the folders that inputs may come from.
    #[error("`{uri}` is outside the folders that inputs may come from")]
    Outside {
        /// The URI.
        uri: String,
    },
    /// There is nothing at the URI, or it cannot be read.
    #[error("nothing can be read at `{uri}`")]
    Unreachable {
        /// The URI.
        uri: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An artifact cannot be stored.
    #[error("the artifact `{name}` cannot be stored")]
    Publish {
        /// The artifact.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be used.
    #[error("the artifact store {place} cannot be used")]
    Store {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Fault for StorageError {
    fn code(&self) -> &'static str {
        match self {
            StorageError::Malformed { .. } => "uri_malformed",
            StorageError::Scheme { .. } => "uri_scheme_unsupported",
            StorageError::Outside { .. } => "uri_not_allowed",
            StorageError::Unreachable { .. } => "input_unreachable",
            StorageError::Publish { .. } | StorageError::Store { .. } => "store_failed",
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            StorageError::Publish { .. } | StorageError::Store { .. } => FaultKind::Environment,
            _ => FaultKind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            StorageError::Malformed { .. } => "a local file is file:///absolute/path",
            StorageError::Scheme { .. } => "give a file:// URI of a file that the server can read",
            StorageError::Outside { .. } => "the server's --file-root says which folders are open",
            StorageError::Unreachable { .. } => "is the path right, and readable for the server's user?",
            StorageError::Publish { .. } => "is the store's disk full?",
            StorageError::Store { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
