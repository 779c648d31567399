//! [`WebhookStore`]: webhooks, and what is to be delivered to them.

use std::time::Duration;

use async_trait::async_trait;

use super::Store;
use crate::{
    database::{
        dialect::sql,
        rows::{DeliveryRow, WebhookRow, delivery, webhook},
        tx::{milliseconds, rolled_back},
    },
    job::{Notification, StoreError, Tenant},
    webhook::{Attempted, Delivery, DeliveryStatus, Webhook, WebhookStore},
};

#[async_trait]
impl WebhookStore for Store {
    async fn create_webhook(&self, new: Webhook) -> Result<Webhook, StoreError> {
        let row: WebhookRow = sqlx::query_as(sql!(
            "insert into webhooks (id, tenant, url, secret, events, created_at)
             values ($1, $2, $3, $4, $5, {now})
             returning {webhook columns}"
        ))
        .bind(new.id)
        .bind(new.tenant.as_str())
        .bind(new.url)
        .bind(new.secret)
        .bind(format!(",{},", new.events.join(",")))
        .fetch_one(&self.pool)
        .await?;
        webhook(row)
    }

    async fn webhooks(&self, tenant: &Tenant) -> Result<Vec<Webhook>, StoreError> {
        let rows: Vec<WebhookRow> =
            sqlx::query_as(sql!("select {webhook columns} from webhooks where tenant = $1 order by created_at, id"))
                .bind(tenant.as_str())
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(webhook).collect()
    }

    async fn delete_webhook(&self, tenant: &Tenant, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(sql!("delete from webhooks where id = $1 and tenant = $2"))
            .bind(id)
            .bind(tenant.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn deliveries(&self, tenant: &Tenant, id: &str, limit: i64) -> Result<Option<Vec<Delivery>>, StoreError> {
        let known: Option<(String,)> = sqlx::query_as(sql!("select id from webhooks where id = $1 and tenant = $2"))
            .bind(id)
            .bind(tenant.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if known.is_none() {
            return Ok(None);
        }
        let rows: Vec<DeliveryRow> = sqlx::query_as(sql!(
            "select {delivery columns}
             from deliveries
             where webhook_id = $1
             order by created_at desc, id desc
             limit $2"
        ))
        .bind(id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(delivery).collect::<Result<_, _>>().map(Some)
    }

    async fn redeliver(&self, tenant: &Tenant, webhook: &str, delivery: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(sql!(
            "update deliveries
             set status = 'pending', attempts = 0, next_at = {now}, delivered_at = null
             where id = $1 and webhook_id in (select id from webhooks where id = $2 and tenant = $3)"
        ))
        .bind(delivery)
        .bind(webhook)
        .bind(tenant.as_str())
        .execute(tx.conn())
        .await?;
        tx.notifications.push(Notification::Delivery);
        self.commit(tx).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn take_delivery(&self, hold: Duration) -> Result<Option<(Webhook, Delivery)>, StoreError> {
        let mut tx = self.begin().await?;
        let row: Option<DeliveryRow> = sqlx::query_as(sql!(
            "select {delivery columns}
             from deliveries
             where status = 'pending' and next_at <= {now}
             order by next_at, id
             limit 1
             {for update skip locked}"
        ))
        .fetch_optional(tx.conn())
        .await?;
        let Some(taken) = row.map(delivery).transpose()? else { return rolled_back(tx, None).await };
        sqlx::query(sql!("update deliveries set attempts = attempts + 1, next_at = {now} + $2 where id = $1"))
            .bind(&taken.id)
            .bind(milliseconds(hold))
            .execute(tx.conn())
            .await?;
        let row: WebhookRow = sqlx::query_as(sql!("select {webhook columns} from webhooks where id = $1"))
            .bind(&taken.webhook)
            .fetch_one(tx.conn())
            .await?;
        self.commit(tx).await?;
        Ok(Some((webhook(row)?, Delivery { attempts: taken.attempts + 1, ..taken })))
    }

    async fn attempted(&self, delivery: &Delivery, how: Attempted, again: Option<Duration>) -> Result<(), StoreError> {
        let status = match (&how.error, again) {
            (None, _) => DeliveryStatus::Delivered,
            (Some(_), Some(_)) => DeliveryStatus::Pending,
            (Some(_), None) => DeliveryStatus::Failed,
        };
        sqlx::query(sql!(
            "update deliveries
             set status = $2, response_status = $3, error = $4, next_at = {now} + $5,
                 delivered_at = case when $2 = 'delivered' then {now} end
             where id = $1"
        ))
        .bind(&delivery.id)
        .bind(status.name())
        .bind(how.response_status.map(i64::from))
        .bind(how.error)
        .bind(again.map_or(0, milliseconds))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
