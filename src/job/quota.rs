//! [`Quotas`]: what one tenant may hold, so that nobody's work keeps out everybody else's.

/// The most that one tenant may hold; no limit where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Jobs that wait.
    pub queued_jobs: Option<u64>,
    /// Bytes of all uploads together.
    pub upload_bytes: Option<u64>,
    /// Bytes of the artifacts that are kept; with more, no job is begun.
    pub artifact_bytes: Option<u64>,
}

/// A quota that a tenant has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Waiting makes room.
    #[error("{limit} jobs of this tenant wait, and no more may")]
    QueuedJobs {
        /// The most that may wait.
        limit: u64,
    },
    /// Deleting jobs makes room, or their retention.
    #[error("the tenant's artifacts have {used} bytes, and {limit} are allowed")]
    ArtifactBytes {
        /// What is kept.
        used: u64,
        /// The most that may be.
        limit: u64,
    },
    /// Deleting uploads makes room, or their retention.
    #[error("the tenant's uploads would have more than the {limit} bytes that are allowed")]
    UploadBytes {
        /// The most that may be kept.
        limit: u64,
    },
}

/// What a tenant holds in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantUsage {
    /// The tenant's name, as keys and jobs have it.
    pub tenant: String,
    /// Jobs that wait.
    pub queued_jobs: u64,
    /// Tasks that a worker has.
    pub running_tasks: u64,
    /// Bytes of the artifacts that are kept.
    pub artifact_bytes: u64,
}
