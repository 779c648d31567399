//! [`Place`]: somewhere that files can be read from, and what reading can come to. One file for each kind of place.

use std::{ops::Range, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::{
    panics::Panicked,
    storage::{StorageError, error::Cause},
};

/// A file of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Object {
    /// Its path, in the place's own terms.
    pub(in crate::storage) path: String,
    /// Its size, if the place says so.
    pub(in crate::storage) size: Option<u64>,
    /// What changes when its content does: an ETag, a commit.
    pub(in crate::storage) tag: Option<String>,
    /// Whether parts of it can be read.
    pub(in crate::storage) ranges: bool,
    /// Its SHA-256 in hexadecimal, if the place knows it.
    pub(in crate::storage) sha256: Option<String>,
}

/// Why a place cannot be read.
#[derive(Debug)]
pub(in crate::storage) enum ReadError {
    NotFound,
    Denied(Cause),
    /// The address is not one that may be talked to.
    Address(String),
    /// The content is not that of the object any more.
    Changed,
    Failed(Cause),
    /// So few bytes came in so long.
    Slow {
        bytes: u64,
        seconds: u64,
    },
    /// By an error of ours.
    Panicked(Panicked),
}

impl ReadError {
    pub(in crate::storage) fn failed(cause: impl Into<Cause>) -> Self {
        ReadError::Failed(cause.into())
    }

    /// Whether another try may come out differently.
    pub(in crate::storage) fn passes(&self) -> bool {
        matches!(self, ReadError::Failed(_))
    }

    /// The same, of a URI.
    pub(in crate::storage) fn at(self, uri: &str) -> StorageError {
        let uri = uri.to_owned();
        match self {
            ReadError::NotFound => StorageError::NotFound { uri },
            ReadError::Denied(source) => StorageError::Denied { uri, source },
            ReadError::Address(reason) => StorageError::Address { uri, reason },
            ReadError::Changed => StorageError::Changed { uri },
            ReadError::Failed(source) => StorageError::Unreachable { uri, source },
            ReadError::Slow { bytes, seconds } => StorageError::Slow { uri, bytes, seconds },
            ReadError::Panicked(panicked) => panicked.into(),
        }
    }
}

/// The content of a file as it arrives.
pub(in crate::storage) type Body = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send>>;

/// Somewhere that files can be read from.
#[async_trait]
pub(in crate::storage) trait Place: std::fmt::Debug + Send + Sync {
    /// The file at a path.
    async fn head(&self, path: &str) -> Result<Object, ReadError>;

    /// The files below a path, by their names relative to it; none of a place without folders.
    async fn list(&self, path: &str) -> Result<Vec<(String, Object)>, ReadError>;

    /// The content of a file, or a range of it. The range lies within; only of a file that says `ranges`.
    async fn open(&self, object: &Object, range: Option<Range<u64>>) -> Result<Body, ReadError>;

    /// The path of a file by its name relative to another one's folder.
    fn beside(&self, path: &str, name: &str) -> String {
        path.rsplit_once('/').map_or(name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
    }
}

/// A range of a file, whole.
pub(in crate::storage) async fn read(
    place: &dyn Place,
    object: &Object,
    range: Range<u64>,
) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(range.end - range.start).map_err(ReadError::failed)?;
    let mut body = place.open(object, Some(range)).await?;
    let mut bytes = Vec::with_capacity(length);
    while let Some(part) = body.next().await {
        let part = part?;
        if bytes.len() + part.len() > length {
            return Err(ReadError::failed("more arrived than was asked for"));
        }
        bytes.extend_from_slice(&part);
    }
    if bytes.len() < length {
        return Err(ReadError::failed(format!("{} bytes arrived of {length}", bytes.len())));
    }
    Ok(bytes)
}
