//! Why the service does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    api::OriginError,
    config::OpenVinoMissing,
    database::OpenError,
    job::StoreError,
    storage::{ParseRuleError, StorageError},
};

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum AppError {
    #[error("the data folder {path} cannot be used", path = path.display())]
    DataDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process has the data folder.
    #[error("the data folder {path} is in use by another ptqd", path = path.display())]
    Locked { path: PathBuf },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A setting of which inputs are open.
    #[error("the setting --allow-source cannot be read")]
    Rule(#[from] ParseRuleError),
    /// A setting of whose pages may call the API.
    #[error("the setting --cors-origin cannot be read")]
    Origin(#[from] OriginError),
    #[error(transparent)]
    OpenVino(#[from] OpenVinoMissing),
    /// The kernel does not give what `--isolation strict` asks for.
    #[error("isolation is strict, and a process of a job still can: {missing}; `ptqd doctor` says more")]
    Isolation { missing: String },
}
