//! [`Delivery`]: one event sent to one webhook.

use serde_json::Value;

use crate::job::JobId;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It waits for its first or next attempt.
    Pending,
    /// The webhook took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    const ALL: [DeliveryStatus; 3] = [DeliveryStatus::Pending, DeliveryStatus::Delivered, DeliveryStatus::Failed];

    /// The name in the API and the database.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryStatus::Pending => "pending",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        DeliveryStatus::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// One event for one webhook. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its id, the same in every attempt: `webhook-id` on the wire.
    pub id: String,
    /// The webhook's id.
    pub webhook: String,
    /// The job that the event is of.
    pub job: JobId,
    /// The event's number.
    pub seq: i64,
    /// The event's kind.
    pub kind: String,
    /// The event's particulars.
    pub data: Value,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts so far.
    pub attempts: i64,
    /// When the next attempt is due.
    pub next_at: i64,
    /// The status of the last answer.
    pub response_status: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When the event happened.
    pub created_at: i64,
    /// When the webhook took it.
    pub delivered_at: Option<i64>,
}

/// How an attempt at a delivery went.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The status of the answer, if there was one.
    pub response_status: Option<u16>,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
}
