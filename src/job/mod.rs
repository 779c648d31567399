//! What a job is: its request, its states, its events, and the ports to where jobs are stored.
//!
//! Plain data and rules. Knows nothing of SQL, HTTP or threads; [`JobStore`] and [`Queue`] are implemented in the shell.

mod admitted;
mod event;
mod failure;
mod id;
mod lease;
mod local;
mod ports;
mod preprocess;
mod quota;
mod record;
mod request;
mod retry;
mod shard;
mod spec;
mod status;
mod tenant;

pub use admitted::AdmittedJob;
pub use event::{Event, EventKind};
pub use failure::Failure;
pub use id::{JobId, ParseJobIdError};
pub use lease::{Claim, Held, Lease, Work};
pub use local::{DEFAULT_BATCH, InputFiles, Machine};
pub use ports::{
    ArtifactBody, ArtifactError, ArtifactReader, Changed, Created, Cursor, DryRun, Finish, Fleet, Idempotency,
    JobFootprint, JobStore, ListQuery, NewJob, NewUpload, Notification, NotificationStream, Planner, Queue, QueueStats,
    StoreError, Update, Upkeep, Upload, UploadError, Uploads, Worker, wait_for,
};
pub use preprocess::read as read_preprocess;
pub use quota::{Exceeded, Quotas, TenantUsage};
pub use record::{Job, JobResult, StoredArtifact};
pub use request::{BATCH_SIZES, CALIBRATION_SAMPLES, JobRequest};
pub use retry::RetryPolicy;
pub use shard::ShardOutput;
pub use spec::{DataRef, JobSpec, ModelRef};
pub use status::JobStatus;
pub use tenant::{ParseTenantError, Tenant};
