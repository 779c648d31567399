//! The ports to where jobs, tasks and files are stored. Implemented in the shell: by `database` and `storage`.
//!
//! | port | for |
//! |---|---|
//! | [`JobStore`] | those who make and look at jobs |
//! | [`Queue`] | workers, which take tasks |
//! | [`Fleet`] | who asks which workers are alive |
//! | [`Upkeep`] | who cleans up |
//! | [`ArtifactReader`] | who serves artifacts |
//! | [`Uploads`] | who takes files of clients |
//! | [`Planner`] | who shows what a job would do |

mod artifacts;
mod error;
mod fleet;
mod jobs;
mod notification;
mod planner;
mod queue;
mod upkeep;
mod uploads;

pub use artifacts::{ArtifactBody, ArtifactError, ArtifactReader};
pub use error::StoreError;
pub use fleet::{Fleet, Worker};
pub use jobs::{Changed, Created, Cursor, Idempotency, JobStore, ListQuery, NewJob, QueueStats};
pub use notification::{Notification, NotificationStream, wait_for};
pub use planner::{DryRun, Planner};
pub use queue::{Finish, Queue, Update};
pub use upkeep::{JobFootprint, Upkeep};
pub use uploads::{NewUpload, Upload, UploadError, Uploads};
