//! A model's file is read in a child to learn which files it refers to.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{
    pool::Compute,
    request::{Files, Output, Request, Work},
};
use crate::{
    control::Canceller,
    fault::{FaultCode, StableCode},
    job::JobSpec,
    storage::{ReadCompanions, StorageError},
};

/// The longest that it may take, in seconds.
const LONGEST: u64 = 60;

#[async_trait]
impl ReadCompanions for Compute {
    async fn companions(&self, file: &Path) -> Result<Vec<String>, StorageError> {
        let mut request = Request::bare(Work::Companions, self.library());
        request.files.model = file.to_owned();
        let failure = match self.run(request, Some(LONGEST), None, |_| (), &Canceller::default()).await {
            Ok(Output::Companions(names)) => return Ok(names),
            Ok(_) => return Err(StorageError::Stopped),
            Err(error) => error.failure,
        };
        let code = FaultCode::ALL.iter().copied().find(|code| code.name() == &*failure.code);
        Err(StorageError::Unread {
            code: code.unwrap_or(FaultCode::InternalError),
            message: failure.message,
            hint: failure.hint,
        })
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
            threads: 1,
            engine_memory: None,
            memory: 0,
            statistics: None,
        }
    }
}
