//! The errors of the ports, as errors of the API.

use super::ApiError;
use crate::{
    fault::chain,
    job::{ArtifactError, StoreError},
};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "the job store failed");
        match error {
            StoreError::Database(_) => ApiError::Unavailable { what: "database" },
            StoreError::Corrupt { .. } => ApiError::Internal,
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Gone { .. } => ApiError::NotFound { what: "such artifact any more" },
            error @ ArtifactError::Store(_) => {
                tracing::error!(error = chain(&error), "the artifact store failed");
                ApiError::Unavailable { what: "artifact store" }
            }
        }
    }
}
