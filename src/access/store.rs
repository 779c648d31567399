//! [`KeyStore`]: the port to where API keys are stored.

use std::time::Duration;

use async_trait::async_trait;

use super::{ApiKey, KeySecret, Scopes};
use crate::job::{StoreError, Tenant};

/// Keeps API keys, by their digests.
#[async_trait]
pub trait KeyStore: std::fmt::Debug + Send + Sync {
    /// Keeps a new key.
    async fn create_key(
        &self,
        key: &KeySecret,
        tenant: &Tenant,
        name: &str,
        scopes: &Scopes,
        lasts: Option<Duration>,
    ) -> Result<ApiKey, StoreError>;

    /// The key with this id and the digest of its secret, if it is neither revoked nor over; notes that it was used.
    async fn use_key(&self, id: &str) -> Result<Option<(ApiKey, String)>, StoreError>;

    /// Keys, oldest first; of one tenant if given.
    async fn keys(&self, tenant: Option<&Tenant>) -> Result<Vec<ApiKey>, StoreError>;

    /// Ends a key. `false`: there is none with this id.
    async fn revoke_key(&self, id: &str, tenant: Option<&Tenant>) -> Result<bool, StoreError>;
}
