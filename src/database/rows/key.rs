//! Rows of the table `api_keys`, and the [`ApiKey`] that each is.

use super::row::table_row;
use crate::{
    access::{ApiKey, Scopes},
    job::StoreError,
};

table_row! {
    /// A row of `api_keys`.
    KeyRow {
        id: String,
        tenant: String,
        name: String,
        scopes: String,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        last_used_at: Option<i64>,
        hash: String,
    }
}

/// The key that a row holds, and the digest of its secret.
pub(in crate::database) fn api_key(row: KeyRow) -> Result<(ApiKey, String), StoreError> {
    let KeyRow { id, tenant, name, scopes, created_at, expires_at, revoked_at, last_used_at, hash } = row;
    let tenant = tenant.parse().map_err(|_| StoreError::Corrupt { row: id.clone(), column: "api_keys.tenant" })?;
    let scopes = Scopes::known(&scopes);
    Ok((ApiKey { id, tenant, name, scopes, created_at, expires_at, revoked_at, last_used_at }, hash))
}
