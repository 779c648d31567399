//! What can go wrong between us and the places that data lives in.

use std::{error::Error, io, path::PathBuf};

use crate::{
    fault::{Explanation, Fault, FaultCode},
    panics::Panicked,
};

/// An error of a library below us.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// What can go wrong with an input or an artifact.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum StorageError {
    /// The text is not a URI.
    #[error("`{uri}` is not a URI: {reason}")]
    Malformed { uri: String, reason: String },
    /// The scheme is not one of ours.
    #[error("the scheme `{scheme}:` is not supported")]
    Scheme { scheme: String },
    /// A password or a signature stands in the URI, which would be stored and shown.
    #[error("the URI `{shown}` holds credentials")]
    Credentials {
        /// The URI without them.
        shown: String,
    },
    /// A place that this tenant may not read from.
    #[error("inputs may not come from `{uri}`: {reason}")]
    NotAllowed { uri: String, reason: String },
    /// A host that may not be talked to.
    #[error("`{uri}` leads to an address that may not be talked to: {reason}")]
    Address { uri: String, reason: String },
    /// There is nothing at the URI.
    #[error("there is nothing at `{uri}`")]
    NotFound { uri: String },
    /// The place does not let us read.
    #[error("reading `{uri}` was denied")]
    Denied {
        uri: String,
        #[source]
        source: Cause,
    },
    /// The place does not answer, or breaks off.
    #[error("`{uri}` cannot be read")]
    Unreachable {
        uri: String,
        #[source]
        source: Cause,
    },
    /// The place sends, but as good as nothing.
    #[error("`{uri}` is too slow: {bytes} bytes came in {seconds} s")]
    Slow { uri: String, bytes: u64, seconds: u64 },
    /// All of it takes too long.
    #[error("the inputs had not come after {seconds} s")]
    Overdue { seconds: u64 },
    /// The file was replaced while it was being read.
    #[error("`{uri}` changed while it was being read")]
    Changed { uri: String },
    /// What arrived is not what was promised.
    #[error("`{uri}` arrived damaged: its SHA-256 is {found}, not {expected}")]
    Damaged {
        uri: String,
        found: String,
        /// What it should be.
        expected: String,
    },
    /// More than this server takes.
    #[error("`{uri}` has more than {limit} bytes")]
    TooLarge { uri: String, limit: u64 },
    /// A name of a file that would lead out of its folder.
    #[error("`{uri}` has a file `{name}`, which is no plain name of a file below it")]
    Name { uri: String, name: String },
    /// The model refers to files in a way that cannot be followed.
    #[error(transparent)]
    Companions(#[from] crate::model::CompanionsError),
    /// The model could not be read to learn which files it refers to.
    #[error("{message}")]
    Unread {
        /// That of the process that read it, so that it is told as if it had been read here.
        code: FaultCode,
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is not enough room for what is to be staged.
    #[error("staging needs {needed} bytes of disk, and {free} are free")]
    NoRoom { needed: u64, free: u64 },
    /// The local disk does not take a file.
    #[error("{path} cannot be written", path = path.display())]
    Local {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It was asked to stop.
    #[error("the transfer was stopped")]
    Stopped,
    /// An error of ours.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// An artifact cannot be stored.
    #[error("the artifact `{name}` cannot be stored")]
    Publish {
        name: String,
        #[source]
        source: Cause,
    },
    /// The store cannot be used.
    #[error("the artifact store {place} cannot be used")]
    Store {
        place: String,
        #[source]
        source: Cause,
    },
}

impl StorageError {
    /// A URI with credentials, of which only the part is shown that has none.
    pub(super) fn credentials(uri: &str) -> Self {
        let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
        StorageError::Credentials { shown: format!("{scheme}://…") }
    }

    pub(super) fn local(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| StorageError::Local { path, source }
    }
}

impl Fault for StorageError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            StorageError::Malformed { .. } => UriMalformed
                .hint("for example s3://bucket/key, hf://owner/name, https://host/file, or file:///absolute/path"),
            StorageError::Scheme { .. } => {
                UriSchemeUnsupported.hint("give an s3, gs, az, https, hf, upload or file URI")
            }
            StorageError::Credentials { .. } => UriHasCredentials
                .hint("give the server credentials by its environment or its role, and the URI without them"),
            StorageError::NotAllowed { .. } => {
                UriNotAllowed.hint("the operator opens places with --allow-source, and folders with --file-root")
            }
            StorageError::Address { .. } => AddressNotAllowed.hint("the operator may allow it with --sources-private"),
            StorageError::NotFound { .. } => InputNotFound.hint("is the name right, letter by letter?"),
            StorageError::Denied { .. } => {
                InputDenied.hint("may the server's credentials read it, and are they still valid?")
            }
            StorageError::Unreachable { .. } => {
                InputUnreachable.hint("is the address right, and reachable from the server?")
            }
            StorageError::Slow { .. } => InputTooSlow.hint("the operator sets the least rate with --input-rate"),
            StorageError::Overdue { .. } => InputTooSlow
                .hint("bring them closer; the operator sets the limits with --staging-seconds and --plan-seconds"),
            StorageError::Changed { .. } => InputChanged.hint("try again once nobody writes there"),
            StorageError::Damaged { .. } => InputDamaged.hint("try again once nobody writes there"),
            StorageError::TooLarge { .. } => InputTooLarge.hint("the operator sets the limit with --max-input-mib"),
            StorageError::Name { .. } => PathNotAllowed.hint("rename the file, or leave it out of the folder"),
            StorageError::Companions(error) => Explanation::Inner(error),
            StorageError::Unread { code, hint, .. } => code.maybe(hint.clone()),
            StorageError::NoRoom { .. } => {
                DiskFull.hint("free some disk at the server's data folder, or give it a larger one")
            }
            StorageError::Local { .. } => ScratchUnusable.hint("may the server write there, and is there room?"),
            StorageError::Stopped => Cancelled.plain(),
            StorageError::Panicked(error) => Explanation::Inner(error),
            StorageError::Publish { .. } => {
                StoreFailed.hint("is the store full, or are its credentials no longer valid?")
            }
            StorageError::Store { .. } => StoreFailed.plain(),
        }
    }
}
