//! [`ReadCompanions`]: which files beside it a model's file refers to.

use std::{fmt, path::Path};

use async_trait::async_trait;

use crate::{model, storage::StorageError};

/// Reads which files beside it a model's file refers to, by their names. The file is a stranger's.
#[async_trait]
pub trait ReadCompanions: fmt::Debug + Send + Sync {
    /// The names; none of what is no model.
    async fn companions(&self, file: &Path) -> Result<Vec<String>, StorageError>;
}

/// Reads them in this process.
#[derive(Clone, Copy, Debug)]
pub struct ReadHere;

#[async_trait]
impl ReadCompanions for ReadHere {
    async fn companions(&self, file: &Path) -> Result<Vec<String>, StorageError> {
        Ok(model::companions(file)?)
    }
}
