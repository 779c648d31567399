//! Webhooks and deliveries as clients see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    api::extract::FromBody,
    job::EventKind,
    spec::{Object, Objection, ObjectionCode, Reader},
    webhook::{Delivery, DeliveryStatus, Webhook},
};

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

impl FromBody for WebhookRequest {
    fn read(reader: &mut Reader, body: &Object<'_>) -> Self {
        reader.only_known(body, &["url", "events"]);
        reader.required(body, "url", "a URL", r#""https://hooks.example.com/ptqd""#);
        let url = reader.text(body, "url").unwrap_or_default().to_owned();
        let names = reader.list(body, "events", "a list of names");
        if body.get("events").is_some_and(Value::is_array) && names.is_empty() {
            let objection = Objection::new("/events", ObjectionCode::OutOfRange, "a webhook wants at least one event");
            reader.objections.push(objection.hint("leave the field out for changes of status"));
        }
        let events = names.iter().enumerate().filter_map(|(at, name)| event(reader, format!("/events/{at}"), name));
        let events: Vec<String> = events.collect();
        WebhookRequest { url, events: body.get("events").map(|_| events) }
    }
}

/// The name of an event that can be delivered.
fn event(reader: &mut Reader, pointer: String, name: &Value) -> Option<String> {
    let Some(name) = name.as_str() else {
        reader.wrong_type(pointer, "a string", name);
        return None;
    };
    let known = EventKind::ALL.into_iter().filter(|&kind| kind != EventKind::Progress).map(EventKind::name);
    if !known.clone().any(|known| known == name) {
        let message = format!("`{name}` is no event that webhooks can receive");
        let objection = Objection::new(pointer, ObjectionCode::OutOfRange, message);
        reader.objections.push(objection.near(name, known.clone()).allowed(known));
        return None;
    }
    Some(name.to_owned())
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
