//! [`KeyStore`] as SQL: of a key's secret, only the hash is stored.

use std::time::Duration;

use async_trait::async_trait;

use super::Store;
use crate::{
    access::{ApiKey, KeySecret, KeyStore, Scopes},
    database::{
        dialect::sql,
        rows::{KeyRow, api_key},
        tx::milliseconds,
    },
    job::{StoreError, Tenant},
};

#[async_trait]
impl KeyStore for Store {
    async fn create_key(
        &self,
        key: &KeySecret,
        tenant: &Tenant,
        name: &str,
        scopes: &Scopes,
        lasts: Option<Duration>,
    ) -> Result<ApiKey, StoreError> {
        let row: KeyRow = sqlx::query_as(sql!(
            "insert into api_keys (id, tenant, name, hash, scopes, created_at, expires_at)
             values ($1, $2, $3, $4, $5, {now}, {now} + $6)
             returning {key columns}"
        ))
        .bind(key.id())
        .bind(tenant.as_str())
        .bind(name)
        .bind(key.hash())
        .bind(scopes.to_string())
        .bind(lasts.map(milliseconds))
        .fetch_one(&self.pool)
        .await?;
        api_key(row).map(|(key, _)| key)
    }

    async fn use_key(&self, id: &str) -> Result<Option<(ApiKey, String)>, StoreError> {
        let row: Option<KeyRow> = sqlx::query_as(sql!(
            "select {key columns}
             from api_keys
             where id = $1 and revoked_at is null and (expires_at is null or expires_at > {now})"
        ))
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        if row.is_some() {
            // Once a minute is enough to know whether a key is in use.
            sqlx::query(sql!(
                "update api_keys
                 set last_used_at = {now}
                 where id = $1 and (last_used_at is null or last_used_at < {now} - 60000)"
            ))
            .bind(id)
            .execute(&self.pool)
            .await?;
        }
        row.map(api_key).transpose()
    }

    async fn keys(&self, tenant: Option<&Tenant>) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(sql!(
            "select {key columns}
             from api_keys
             where cast($1 as text) is null or tenant = $1
             order by created_at, id"
        ))
        .bind(tenant.map(Tenant::as_str))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| api_key(row).map(|(key, _)| key)).collect()
    }

    async fn revoke_key(&self, id: &str, tenant: Option<&Tenant>) -> Result<bool, StoreError> {
        let done = sqlx::query(sql!(
            "update api_keys
             set revoked_at = coalesce(revoked_at, {now})
             where id = $1 and (cast($2 as text) is null or tenant = $2)"
        ))
        .bind(id)
        .bind(tenant.map(Tenant::as_str))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
