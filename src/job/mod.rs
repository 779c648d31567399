//! What a job is: its request, its states, its events, and the ports to wherever jobs are kept.
//!
//! Plain data and rules. Knows nothing of SQL, HTTP or threads; [`JobStore`] and [`Queue`] are implemented in the shell.

mod artifacts;
mod event;
mod failure;
mod id;
mod lease;
mod notification;
mod plan;
mod queue;
mod record;
mod retry;
mod spec;
mod status;
mod store;
mod tenant;
mod uploads;

pub use artifacts::{ArtifactBody, ArtifactError, ArtifactReader};
pub use event::{Event, EventKind};
pub use failure::Failure;
pub use id::{JobId, ParseJobIdError};
pub use lease::{Claim, Held, Lease, Work};
pub use notification::{Notification, NotificationStream, wait_for};
pub use plan::{DryRun, Planner};
pub use queue::{Finish, JobFootprint, Queue, Update, Worker};
pub use record::{Job, JobResult, StoredArtifact};
pub use retry::RetryPolicy;
pub use spec::{CalibrationRef, Checked, EvaluationRef, JobSpec, ModelRef};
pub use status::JobStatus;
pub use store::{Changed, Created, Cursor, Idempotency, JobStore, ListQuery, NewJob, QueueStats, StoreError};
pub use tenant::{ParseTenantError, Tenant};
pub use uploads::{NewUpload, Upload, UploadError, Uploads};
