//! What a job is: its request, its states, its events, and the port to wherever jobs are kept.
//!
//! Plain data and rules. Knows nothing of SQL, HTTP or threads; [`JobStore`] is implemented in the shell.

mod artifacts;
mod event;
mod failure;
mod id;
mod lease;
mod record;
mod retry;
mod spec;
mod status;
mod store;

pub use artifacts::{ArtifactBody, ArtifactError, ArtifactReader};
pub use event::{Event, EventKind};
pub use failure::Failure;
pub use id::{JobId, ParseJobIdError};
pub use lease::{Claim, Lease};
pub use record::{Job, JobResult};
pub use retry::RetryPolicy;
pub use spec::{CalibrationRef, Checked, EvaluationRef, JobSpec, ModelRef};
pub use status::JobStatus;
pub use store::{Cursor, Finish, JobStore, ListQuery, NewJob, StoreError, Update};
