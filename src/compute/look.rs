//! What only looks at a model: its plan, and which files it refers to. Nothing is computed, so it has a minute.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    pool::Compute,
    request::{Files, Output, Request, Work},
};
use crate::{
    control::Canceller,
    fault::{FaultCode, StableCode},
    job::{Failure, JobSpec},
    storage::{ReadCompanions, StorageError},
};

/// The longest that it may take, in seconds.
const LONGEST: u64 = 60;

impl Compute {
    /// Looks at a model, as the request says, and at nothing for longer than a minute.
    pub async fn look(&self, request: Request) -> Result<Output, Failure> {
        let canceller = Canceller::default();
        let looking = self.run(request, Some(LONGEST), None, |_| (), &canceller);
        match tokio::time::timeout(Duration::from_secs(LONGEST), looking).await {
            Ok(looked) => looked.map_err(|error| error.failure),
            Err(_) => {
                canceller.cancel();
                let message = format!("the model could not be read within {LONGEST} s");
                Err(Failure::plain(FaultCode::TimedOut, message))
            }
        }
    }
}

#[async_trait]
impl ReadCompanions for Compute {
    async fn companions(&self, file: &Path) -> Result<Vec<String>, StorageError> {
        let mut request = Request::bare(Work::Companions, self.library());
        request.files.model = file.to_owned();
        match self.look(request).await {
            Ok(Output::Companions(names)) => Ok(names),
            Ok(_) => Err(StorageError::Stopped),
            Err(Failure { code, message, hint, .. }) => {
                let code = FaultCode::named(&code).unwrap_or(FaultCode::InternalError);
                Err(StorageError::Unread { code, message, hint })
            }
        }
    }
}

impl Request {
    /// A request that is of no job.
    pub(super) fn bare(work: Work, library: PathBuf) -> Self {
        Request {
            spec: JobSpec::new("", serde_json::Value::Null),
            files: Files::default(),
            work,
            out: PathBuf::new(),
            library,
            openvino: None,
            threads: 1,
            engine_memory: None,
            memory: 0,
            statistics: None,
        }
    }
}
