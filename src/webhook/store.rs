//! [`WebhookStore`]: the port to where webhooks and their deliveries are stored.

use std::time::Duration;

use async_trait::async_trait;

use super::{Attempted, Delivery, Webhook};
use crate::job::{StoreError, Tenant};

/// Keeps webhooks and the deliveries due to them.
#[async_trait]
pub trait WebhookStore: std::fmt::Debug + Send + Sync {
    /// Keeps a new webhook; its `created_at` is the database's.
    async fn create_webhook(&self, webhook: Webhook) -> Result<Webhook, StoreError>;

    /// A tenant's webhooks, oldest first.
    async fn webhooks(&self, tenant: &Tenant) -> Result<Vec<Webhook>, StoreError>;

    /// Forgets a webhook and its deliveries. `false`: the tenant has none with this id.
    async fn delete_webhook(&self, tenant: &Tenant, id: &str) -> Result<bool, StoreError>;

    /// The newest deliveries of a webhook. `None`: the tenant has no such webhook.
    async fn deliveries(&self, tenant: &Tenant, webhook: &str, limit: i64)
    -> Result<Option<Vec<Delivery>>, StoreError>;

    /// Has a delivery done again, whatever came of it. `false`: there is none.
    async fn redeliver(&self, tenant: &Tenant, webhook: &str, delivery: &str) -> Result<bool, StoreError>;

    /// Takes the next delivery that is due, for a while: one who dies over it leaves it to the next.
    async fn take_delivery(&self, hold: Duration) -> Result<Option<(Webhook, Delivery)>, StoreError>;

    /// Records an attempt. One that failed is due again after `again`; without it the delivery is given up.
    async fn attempted(&self, delivery: &Delivery, how: Attempted, again: Option<Duration>) -> Result<(), StoreError>;
}
