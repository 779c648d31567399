//! The statements of [`WebhookStore`](crate::webhook::WebhookStore).

/// Implements `WebhookStore` for `$store`, see [`shared!`](super::shared!).
macro_rules! webhook_store {
    ($store:ident, $database:ty, now: $now:literal, skip: $skip:literal) => {
        #[async_trait::async_trait]
        impl WebhookStore for $store {
            async fn create_webhook(&self, new: Webhook) -> Result<Webhook, StoreError> {
                let row: WebhookRow = sqlx::query_as(concat!(
                    "insert into webhooks as w (id, tenant, url, secret, events, created_at) ",
                    "values ($1, $2, $3, $4, $5, ",
                    $now,
                    ") returning id, tenant, url, secret, events, created_at"
                ))
                .bind(new.id)
                .bind(new.tenant.as_str().to_owned())
                .bind(new.url)
                .bind(new.secret)
                .bind(format!(",{},", new.events.join(",")))
                .fetch_one(&self.pool)
                .await
                .map_err(database)?;
                webhook(row)
            }

            async fn webhooks(&self, tenant: &Tenant) -> Result<Vec<Webhook>, StoreError> {
                let rows: Vec<WebhookRow> = sqlx::query_as(concat!(
                    "select ",
                    webhook_columns!(),
                    " from webhooks w where w.tenant = $1 order by w.created_at, w.id"
                ))
                .bind(tenant.as_str().to_owned())
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(webhook).collect()
            }

            async fn delete_webhook(&self, tenant: &Tenant, id: &str) -> Result<bool, StoreError> {
                let done = sqlx::query("delete from webhooks where id = $1 and tenant = $2")
                    .bind(id.to_owned())
                    .bind(tenant.as_str().to_owned())
                    .execute(&self.pool)
                    .await
                    .map_err(database)?;
                Ok(done.rows_affected() == 1)
            }

            async fn deliveries(
                &self,
                tenant: &Tenant,
                id: &str,
                limit: i64,
            ) -> Result<Option<Vec<Delivery>>, StoreError> {
                let known: Option<(String,)> = sqlx::query_as("select id from webhooks where id = $1 and tenant = $2")
                    .bind(id.to_owned())
                    .bind(tenant.as_str().to_owned())
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(database)?;
                if known.is_none() {
                    return Ok(None);
                }
                let rows: Vec<DeliveryRow> = sqlx::query_as(concat!(
                    "select ",
                    delivery_columns!(),
                    " from deliveries d where d.webhook_id = $1 ",
                    "order by d.created_at desc, d.id desc limit $2"
                ))
                .bind(id.to_owned())
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(database)?;
                rows.into_iter().map(delivery).collect::<Result<_, _>>().map(Some)
            }

            async fn redeliver(&self, tenant: &Tenant, webhook: &str, delivery: &str) -> Result<bool, StoreError> {
                let mut tx = self.begin().await?;
                let done = sqlx::query(concat!(
                    "update deliveries set status = 'pending', attempts = 0, next_at = ",
                    $now,
                    ", delivered_at = null ",
                    "where id = $1 and webhook_id in (select id from webhooks where id = $2 and tenant = $3)"
                ))
                .bind(delivery.to_owned())
                .bind(webhook.to_owned())
                .bind(tenant.as_str().to_owned())
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                tx.notifications.push(Notification::Delivery);
                self.commit(tx).await?;
                Ok(done.rows_affected() == 1)
            }

            async fn take_delivery(&self, hold: Duration) -> Result<Option<(Webhook, Delivery)>, StoreError> {
                let mut tx = self.begin().await?;
                let row: Option<DeliveryRow> = sqlx::query_as(concat!(
                    "select ",
                    delivery_columns!(),
                    " from deliveries d where d.status = 'pending' ",
                    "and d.next_at <= ",
                    $now,
                    " order by d.next_at, d.id limit 1 ",
                    $skip
                ))
                .fetch_optional(&mut *tx.tx)
                .await
                .map_err(database)?;
                let Some(taken) = row.map(delivery).transpose()? else { return rolled_back(tx, None).await };
                sqlx::query(concat!(
                    "update deliveries set attempts = attempts + 1, next_at = ",
                    $now,
                    " + $2 where id = $1"
                ))
                .bind(taken.id.clone())
                .bind(milliseconds(hold))
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
                let row: WebhookRow =
                    sqlx::query_as(concat!("select ", webhook_columns!(), " from webhooks w where w.id = $1"))
                        .bind(taken.webhook.clone())
                        .fetch_one(&mut *tx.tx)
                        .await
                        .map_err(database)?;
                self.commit(tx).await?;
                Ok(Some((webhook(row)?, Delivery { attempts: taken.attempts + 1, ..taken })))
            }

            async fn attempted(
                &self,
                delivery: &Delivery,
                how: Attempted,
                again: Option<Duration>,
            ) -> Result<(), StoreError> {
                let status = match (&how.error, again) {
                    (None, _) => DeliveryStatus::Delivered,
                    (Some(_), Some(_)) => DeliveryStatus::Pending,
                    (Some(_), None) => DeliveryStatus::Failed,
                };
                sqlx::query(concat!(
                    "update deliveries set status = $2, response_status = $3, error = $4, next_at = ",
                    $now,
                    " + $5, ",
                    "delivered_at = case when $2 = 'delivered' then ",
                    $now,
                    " end where id = $1"
                ))
                .bind(delivery.id.clone())
                .bind(status.name())
                .bind(how.response_status.map(i64::from))
                .bind(how.error)
                .bind(again.map_or(0, milliseconds))
                .execute(&self.pool)
                .await
                .map_err(database)?;
                Ok(())
            }
        }
    };
}
pub(in crate::database) use webhook_store;
