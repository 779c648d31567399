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
    /// The id of the webhook that it is for.
    pub webhook: String,
    /// The job that the event is of.
    pub job: JobId,
    /// The event's number within the job, from 1.
    pub seq: i64,
    /// The event's kind, as users see it: `job.status_changed`.
    pub kind: String,
    /// What the event's kind adds, a JSON object.
    pub data: Value,
    /// Whether it is still to be tried, delivered, or given up.
    pub status: DeliveryStatus,
    /// Attempts begun, this one included; a redelivery counts from 0 again.
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
