//! Rows of the tables `webhooks` and `deliveries`, and the [`Webhook`] or [`Delivery`] that each is.

use super::{json::from_json, row::table_row};
use crate::{
    job::StoreError,
    webhook::{Delivery, DeliveryStatus, Webhook},
};

table_row! {
    /// A row of `webhooks`.
    WebhookRow {
        id: String,
        tenant: String,
        url: String,
        secret: String,
        events: String,
        created_at: i64,
    }
}

/// The webhook that a row holds.
pub(in crate::database) fn webhook(row: WebhookRow) -> Result<Webhook, StoreError> {
    let WebhookRow { id, tenant, url, secret, events, created_at } = row;
    let tenant = tenant.parse().map_err(|_| StoreError::Corrupt { row: id.clone(), column: "webhooks.tenant" })?;
    let events = events.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Webhook { id, tenant, url, secret, events, created_at })
}

table_row! {
    /// A row of `deliveries`.
    DeliveryRow {
        id: String,
        webhook_id: String,
        job_id: String,
        seq: i64,
        kind: String,
        body: String,
        status: String,
        attempts: i64,
        next_at: i64,
        response_status: Option<i64>,
        error: Option<String>,
        created_at: i64,
        delivered_at: Option<i64>,
    }
}

/// The delivery that a row holds.
pub(in crate::database) fn delivery(row: DeliveryRow) -> Result<Delivery, StoreError> {
    let corrupt = |column| StoreError::Corrupt { row: row.id.clone(), column };
    Ok(Delivery {
        status: DeliveryStatus::named(&row.status).ok_or_else(|| corrupt("deliveries.status"))?,
        job: row.job_id.parse().map_err(|_| corrupt("deliveries.job_id"))?,
        data: from_json(&row.body).ok_or_else(|| corrupt("deliveries.body"))?,
        webhook: row.webhook_id,
        seq: row.seq,
        kind: row.kind,
        attempts: row.attempts,
        next_at: row.next_at,
        response_status: row.response_status,
        error: row.error,
        created_at: row.created_at,
        delivered_at: row.delivered_at,
        id: row.id,
    })
}
