//! [`Uploads`]: the port to the files that clients bring to the service itself.

use std::error::Error;

use async_trait::async_trait;

use super::ArtifactBody;
use crate::job::{Exceeded, Tenant};

/// A file that is to be uploaded.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Its name, and that of a folder before it if there is one.
    pub name: String,
    /// The most bytes that it may have; a longer body is refused.
    pub limit: u64,
    /// The most bytes that the tenant's uploads may have together; no limit without it.
    pub quota: Option<u64>,
    /// The SHA-256 that it must have, in hexadecimal, if the client says.
    pub sha256: Option<String>,
}

/// A file that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name, and that of a folder before it if there is one.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal, where it was just computed.
    pub sha256: Option<String>,
    /// When it came, in milliseconds since 1970, where the store says.
    pub modified: Option<i64>,
}

/// Why an upload cannot be stored, listed or removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum UploadError {
    /// There is none of this name.
    #[error("there is no such upload")]
    NotFound,
    /// The name is not one that a file can have.
    #[error("the name is not one that a file can have")]
    Name,
    /// It would be a file where there is a folder, or in a folder where there is a file.
    #[error("`{name}` cannot be both a file and a folder of uploads")]
    FileAndFolder { name: String },
    /// There is nothing in it.
    #[error("the upload has no bytes")]
    Empty,
    /// It is larger than the server takes.
    #[error("the upload has more than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The tenant's uploads would have too many bytes together.
    #[error(transparent)]
    Quota(Exceeded),
    /// The disk would be left with too little room for everybody else.
    #[error("the disk that uploads are kept on has {free} bytes left")]
    NoRoom { free: u64 },
    /// It is not what the client said it would be.
    #[error("the SHA-256 of what arrived is {found}")]
    Digest { found: String },
    /// The client broke off.
    #[error("the upload broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The store could not be reached, or refused.
    #[error("the artifact store failed")]
    Store(#[source] Box<dyn Error + Send + Sync>),
}

/// Keeps uploads, each tenant's apart.
#[async_trait]
pub trait Uploads: std::fmt::Debug + Send + Sync {
    /// Stores a file under its name, whatever was there; all of it or nothing.
    async fn put(&self, tenant: &Tenant, new: NewUpload, body: ArtifactBody) -> Result<Upload, UploadError>;

    /// The tenant's files, sorted by name.
    async fn list(&self, tenant: &Tenant) -> Result<Vec<Upload>, UploadError>;

    /// Removes a file of the tenant.
    async fn delete(&self, tenant: &Tenant, name: &str) -> Result<(), UploadError>;
}
