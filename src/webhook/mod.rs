//! Webhooks: which events each one receives, what was delivered, and how deliveries are signed.
//!
//! Plain data and rules. Knows nothing of SQL or HTTP; [`WebhookStore`] is implemented in the shell, and so is sending.

mod delivery;
mod signature;
mod store;

use std::time::Duration;

pub use delivery::{Attempted, Delivery, DeliveryStatus};
pub use signature::{SECRET_PREFIX, new_secret, sign};
pub use store::WebhookStore;

use crate::job::Tenant;

/// A URL that receives a tenant's job events.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id: `wh_` and a UUIDv7 without dashes.
    pub id: String,
    /// The tenant whose jobs it receives events of.
    pub tenant: Tenant,
    /// The URL that events are POSTed to.
    pub url: String,
    /// What deliveries are signed with: `whsec_` and base64.
    pub secret: String,
    /// Names of the events that it wants.
    pub events: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

/// Never the secret: it would end in a log.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The waits between attempts at a delivery, as Standard Webhooks suggests them: the last one comes a day and a half after
/// the first.
pub const WAITS: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
];
