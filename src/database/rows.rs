//! The rows of keys, webhooks and deliveries.

use crate::{
    access::{ApiKey, Scopes},
    job::StoreError,
    webhook::{Delivery, DeliveryStatus, Webhook},
};

/// The columns of `api_keys`, in the order of [`KeyRow`].
macro_rules! key_columns {
    () => {
        "id, tenant, name, scopes, created_at, expires_at, revoked_at, last_used_at, hash"
    };
}
pub(super) use key_columns;

pub(super) type KeyRow = (String, String, String, String, i64, Option<i64>, Option<i64>, Option<i64>, String);

/// The key that a row holds, and the digest of its secret.
pub(super) fn api_key(row: KeyRow) -> Result<(ApiKey, String), StoreError> {
    let (id, tenant, name, scopes, created_at, expires_at, revoked_at, last_used_at, hash) = row;
    let tenant = tenant.parse().map_err(|_| StoreError::Corrupt { row: id.clone(), column: "api_keys.tenant" })?;
    let scopes = Scopes::known(&scopes);
    Ok((ApiKey { id, tenant, name, scopes, created_at, expires_at, revoked_at, last_used_at }, hash))
}

/// The columns of `webhooks`, in the order of [`WebhookRow`].
macro_rules! webhook_columns {
    () => {
        "w.id, w.tenant, w.url, w.secret, w.events, w.created_at"
    };
}
pub(super) use webhook_columns;

pub(super) type WebhookRow = (String, String, String, String, String, i64);

/// The webhook that a row holds.
pub(super) fn webhook(row: WebhookRow) -> Result<Webhook, StoreError> {
    let (id, tenant, url, secret, events, created_at) = row;
    let tenant = tenant.parse().map_err(|_| StoreError::Corrupt { row: id.clone(), column: "webhooks.tenant" })?;
    let events = events.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Webhook { id, tenant, url, secret, events, created_at })
}

/// The columns of `deliveries`, in the order of [`DeliveryRow`].
macro_rules! delivery_columns {
    () => {
        "d.id, d.webhook_id, d.job_id, d.seq, d.kind, d.body, d.status, d.attempts, d.next_at, d.response_status, \
         d.error, d.created_at, d.delivered_at"
    };
}
pub(super) use delivery_columns;

pub(super) type DeliveryRow =
    (String, String, String, i64, String, String, String, i64, i64, Option<i64>, Option<String>, i64, Option<i64>);

/// The delivery that a row holds.
pub(super) fn delivery(row: DeliveryRow) -> Result<Delivery, StoreError> {
    let (
        id,
        webhook,
        job,
        seq,
        kind,
        body,
        status,
        attempts,
        next_at,
        response_status,
        error,
        created_at,
        delivered_at,
    ) = row;
    let corrupt = |column| StoreError::Corrupt { row: id.clone(), column };
    Ok(Delivery {
        status: DeliveryStatus::named(&status).ok_or_else(|| corrupt("deliveries.status"))?,
        job: job.parse().map_err(|_| corrupt("deliveries.job_id"))?,
        data: super::row::from_json(&body).ok_or_else(|| corrupt("deliveries.body"))?,
        webhook,
        seq,
        kind,
        attempts,
        next_at,
        response_status,
        error,
        created_at,
        delivered_at,
        id,
    })
}
