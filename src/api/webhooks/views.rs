//! Webhooks and deliveries as clients see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::webhook::{Delivery, DeliveryStatus, Webhook};

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRequest {
    /// Where to POST: https, at a public address.
    #[schema(
        example = "https://hooks.example.com/ptqd",
        max_length = 2000,
        pattern = "^https://[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+(/[!-~]*)?$"
    )]
    pub(super) url: String,
    /// Names of the events to deliver; changes of status without it. Progress is not delivered: follow the job for that.
    #[schema(example = json!(["job.status_changed"]))]
    pub(super) events: Option<Vec<String>>,
}

/// A URL that the tenant's job events are delivered to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookView {
    /// Its id: `wh_` and a UUIDv7 without dashes.
    #[schema(example = "wh_01935e2a9b0070008000000000000001")]
    id: String,
    /// Where events are POSTed.
    url: String,
    /// Names of the events that are delivered to it.
    events: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    created_at: i64,
    /// What deliveries are signed with, as Standard Webhooks has it; only in the response that creates the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_…")]
    secret: Option<String>,
}

impl WebhookView {
    pub(super) fn new(webhook: Webhook, with_secret: bool) -> Self {
        let Webhook { id, url, secret, events, created_at, .. } = webhook;
        WebhookView { id, url, events, created_at, secret: with_secret.then_some(secret) }
    }
}

/// All webhooks of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookList {
    /// The webhooks, oldest first, without their secrets.
    pub(super) webhooks: Vec<WebhookView>,
}

/// An event for a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// Its id, in `webhook-id` of every attempt.
    id: String,
    /// The id of the job that the event is of.
    job_id: String,
    /// The event's number within the job.
    seq: i64,
    /// The event's kind, as in the job's own events.
    #[serde(rename = "type")]
    kind: String,
    /// `pending`, `delivered` or `failed`.
    status: &'static str,
    /// Attempts begun, counted from 0 again when a redelivery is asked for.
    attempts: i64,
    /// When the next attempt is due; null if none is.
    next_attempt_at: Option<i64>,
    /// The status of the last answer.
    response_status: Option<i64>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When the event happened.
    created_at: i64,
    /// When the webhook took it.
    delivered_at: Option<i64>,
    /// What the event's kind adds, as in the job's own events.
    #[schema(value_type = Object)]
    data: Value,
}

impl From<Delivery> for DeliveryView {
    fn from(d: Delivery) -> Self {
        DeliveryView {
            next_attempt_at: (d.status == DeliveryStatus::Pending).then_some(d.next_at),
            id: d.id,
            job_id: d.job.to_string(),
            seq: d.seq,
            kind: d.kind,
            status: d.status.name(),
            attempts: d.attempts,
            response_status: d.response_status,
            error: d.error,
            created_at: d.created_at,
            delivered_at: d.delivered_at,
            data: d.data,
        }
    }
}

/// The newest deliveries of a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    /// Newest first, 100 at most.
    pub(super) deliveries: Vec<DeliveryView>,
}
