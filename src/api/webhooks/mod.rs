//! `/v1/webhooks`: URLs that receive events, what was delivered to them, and redelivery.

mod views;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::views::{DeliveryList, DeliveryView, WebhookList, WebhookRequest, WebhookView};
use super::{
    access::{Reader, Writer},
    error::ApiError,
    extract::{Body, PathParams},
    problem::Problem,
    state::ApiState,
};
use crate::{
    job::EventKind,
    spec::{Objection, ObjectionCode},
    webhook::{Webhook, new_secret},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(delete))
        .routes(routes!(deliveries))
        .routes(routes!(redeliver))
}

/// The most webhooks of one tenant: each event costs a row for each.
const MOST: usize = 20;
/// The most deliveries that are shown.
const PAGE: i64 = 100;

/// Create a webhook.
///
/// Each is POSTed as `{type, timestamp, data}` with the headers of Standard Webhooks: `webhook-id`, `webhook-timestamp`,
/// `webhook-signature`. Any answer but 2xx is tried again, eight times over a day and a half.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "create_webhook", tag = "webhooks", request_body = WebhookRequest, responses(
    (status = 201, description = "The webhook, with its secret.", body = WebhookView),
    (status = 400, description = "The body is no webhook.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "The URL or an event is not acceptable.", body = Problem),
))]
async fn create(
    State(state): State<ApiState>,
    writer: Writer,
    Body(request): Body<WebhookRequest>,
) -> Result<Response, ApiError> {
    let events = request.events.unwrap_or_else(|| vec![EventKind::StatusChanged.name().to_owned()]);
    let mut objections = Vec::new();
    if let Err(why) = state.webhook_policy.check(&request.url) {
        objections.push(Objection::new("/url", ObjectionCode::InvalidUri, why));
    }
    if state.webhooks.webhooks(writer.tenant()).await?.len() >= MOST {
        let objection = Objection::new("", ObjectionCode::OutOfRange, format!("there are {MOST} webhooks already"));
        objections.push(objection.hint("delete one that is no longer needed"));
    }
    if !objections.is_empty() {
        return Err(ApiError::Invalid(objections));
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| ApiError::Internal)?;
    let webhook = Webhook {
        id: format!("wh_{}", Uuid::now_v7().simple()),
        tenant: writer.tenant().clone(),
        url: request.url,
        secret: new_secret(random),
        events,
        created_at: 0,
    };
    let webhook = state.webhooks.create_webhook(webhook).await?;
    let location = [(header::LOCATION, format!("/v1/webhooks/{}", webhook.id))];
    Ok((StatusCode::CREATED, location, Json(WebhookView::new(webhook, true))).into_response())
}

/// List webhooks.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks", responses(
    (status = 200, description = "The webhooks.", body = WebhookList),
))]
async fn list(State(state): State<ApiState>, reader: Reader) -> Result<Json<WebhookList>, ApiError> {
    let webhooks = state.webhooks.webhooks(reader.tenant()).await?;
    Ok(Json(WebhookList { webhooks: webhooks.into_iter().map(|webhook| WebhookView::new(webhook, false)).collect() }))
}

/// Delete a webhook, with what is still to be delivered to it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", operation_id = "delete_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such webhook.", body = Problem),
    ))]
async fn delete(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, ApiError> {
    let gone = state.webhooks.delete_webhook(writer.tenant(), known(&id)?).await?;
    gone.then_some(StatusCode::NO_CONTENT).ok_or(ApiError::NotFound { what: "such webhook" })
}

/// List the newest deliveries of a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", operation_id = "list_deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.")),
    responses(
        (status = 200, description = "The newest deliveries.", body = DeliveryList),
        (status = 404, description = "There is no such webhook.", body = Problem),
    ))]
async fn deliveries(
    State(state): State<ApiState>,
    reader: Reader,
    PathParams(id): PathParams<String>,
) -> Result<Json<DeliveryList>, ApiError> {
    let found = state.webhooks.deliveries(reader.tenant(), known(&id)?, PAGE).await?;
    let deliveries = found.ok_or(ApiError::NotFound { what: "such webhook" })?;
    Ok(Json(DeliveryList { deliveries: deliveries.into_iter().map(DeliveryView::from).collect() }))
}

/// Deliver an event again, with attempts counted from 0.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", tag = "webhooks", params(
    ("id" = String, Path, description = "The webhook's id."),
    ("delivery" = String, Path, description = "The delivery's id."),
), responses(
    (status = 202, description = "It will be delivered again."),
    (status = 404, description = "There is no such delivery.", body = Problem),
))]
async fn redeliver(
    State(state): State<ApiState>,
    writer: Writer,
    PathParams((id, delivery)): PathParams<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let done = state.webhooks.redeliver(writer.tenant(), known(&id)?, known(&delivery)?).await?;
    done.then_some(StatusCode::ACCEPTED).ok_or(ApiError::NotFound { what: "such delivery" })
}

/// An id that a row could have: databases refuse some texts with an error.
fn known(id: &str) -> Result<&str, ApiError> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if plain { Ok(id) } else { Err(ApiError::NotFound { what: "such thing" }) }
}
