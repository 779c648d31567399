//! `/v1/jobs/{id}/events`: the job's log, as a stream or as pages.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Reader,
    error::ApiError,
    extract::{Params, PathParams},
    path_job::find,
    problem::Problem,
    shares::Share,
    state::ApiState,
};
use crate::job::{Event, JobId, Notification, NotificationStream, Tenant, wait_for};

/// How often a stream reads the job without a notification: notifications may be lost.
const LOOK: Duration = Duration::from_secs(2);
/// How often a stream without events sends a comment, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);
/// The most events of one page.
const PAGE: i64 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(events))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventParams {
    /// Only events after this number; asks for a page of JSON.
    #[param(nullable = false, minimum = 0)]
    after: Option<i64>,
}

/// One line of a job's log.
#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    /// Its number within the job, from 1, without gaps; also the SSE id.
    seq: i64,
    /// When it happened, in milliseconds since 1970.
    at: i64,
    /// Its kind, also the SSE event name; later versions may add kinds.
    #[serde(rename = "type")]
    #[schema(example = "job.progress")]
    kind: String,
    /// What the kind adds: the `status` of a `job.status_changed`, the `phase` of a `job.phase`.
    #[schema(value_type = Object)]
    data: Value,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        EventView { seq: event.seq, at: event.at, kind: event.kind.name().to_owned(), data: event.data }
    }
}

/// A line of the stream, as server-sent events have it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "the schema of what axum writes")]
struct EventLine {
    /// The event's number: send the last one as `Last-Event-ID` to go on from there.
    #[schema(example = "12")]
    id: String,
    /// The event's kind, the same as `type` in `data`.
    #[schema(example = "job.progress")]
    event: String,
    /// The event as JSON, as pages have it.
    data: String,
    /// How long to wait before connecting again, in milliseconds.
    #[schema(nullable = false)]
    retry: Option<u32>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
struct EventPage {
    /// The events, in order.
    events: Vec<EventView>,
    /// For the next page.
    next_after: i64,
}

/// Follow a job.
///
/// Server-sent events unless `after` is given or `Accept` asks for JSON; `Last-Event-ID` resumes a stream, which ends with
/// the job. Stream and pages have the same events under the same numbers.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", operation_id = "list_events", tag = "jobs", params(
    ("id" = String, Path, description = "The job's id."),
    EventParams,
    ("Last-Event-ID" = inline(Option<String>), Header, nullable = false, example = "12",
     description = "The number of the last event that the client saw."),
), responses(
    (status = 200, description = "The events.", content(
        (EventPage = "application/json"), (EventLine = "text/event-stream"))),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 404, description = "There is no such job.", body = Problem),
    (status = 429, description = "You follow as many streams as you may.", body = Problem),
))]
async fn events(
    State(state): State<ApiState>,
    reader: Reader,
    PathParams(id): PathParams<String>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let malformed = |detail: String| ApiError::Malformed { detail };
    if params.after.is_some_and(|after| after < 0) {
        return Err(malformed("`after` is the number of an event, or 0".to_owned()));
    }
    let job = find(&state, reader.tenant(), &id).await?;
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or_default();
    let accept = text(header::ACCEPT);
    let json = accept.contains("application/json") && !accept.contains("text/event-stream");
    if params.after.is_some() || json {
        let after = params.after.unwrap_or(0);
        let events = state.jobs.events(reader.tenant(), &job.id, after, PAGE).await?;
        let next_after = events.last().map_or(after, |event| event.seq);
        let events = events.into_iter().map(EventView::from).collect();
        return Ok(Json(EventPage { events, next_after }).into_response());
    }
    let place = state.streams.take(reader.0.caller()).ok_or(ApiError::Streams)?;
    let last_seen: i64 = text(header::HeaderName::from_static("last-event-id")).parse().unwrap_or(0);
    let notifications = state.jobs.notifications();
    let draining = state.draining.clone();
    let (tenant, pending) = (reader.0.tenant, VecDeque::new());
    let start = Follow { state, tenant, job: job.id, seen: last_seen, pending, notifications, draining, _place: place };
    let stream = stream::unfold(start, |mut at| async move { Some((Ok::<_, Infallible>(at.next().await?), at)) });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// Where a stream stands.
struct Follow {
    state: ApiState,
    tenant: Tenant,
    job: JobId,
    seen: i64,
    pending: VecDeque<Event>,
    notifications: NotificationStream,
    draining: watch::Receiver<bool>,
    /// Among the streams that its caller has open.
    _place: Share,
}

impl Follow {
    /// The next event. `None` ends the stream: the job has ended and all events were sent, or it was deleted; or the client
    /// is to connect again with the number of the last event it saw.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.seen = event.seq;
                let view = EventView::from(event);
                let data = serde_json::to_string(&view).unwrap_or_default();
                return Some(
                    sse::Event::default().id(view.seq.to_string()).event(view.kind).data(data).retry(RECONNECT),
                );
            }
            // Read before the events: of a job that has ended by now, the events that follow are all there are.
            let job = self.state.jobs.get(&self.tenant, &self.job).await.ok()??;
            match self.state.jobs.events(&self.tenant, &self.job, self.seen, PAGE).await {
                Ok(events) => self.pending.extend(events),
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "an event stream ends early");
                    return None;
                }
            }
            if !self.pending.is_empty() {
                continue;
            }
            if job.status.is_terminal() || *self.draining.borrow() {
                return None;
            }
            self.wait_for_event().await;
        }
    }

    /// Waits for a notification of the job, at most [`LOOK`]: notifications may be lost.
    async fn wait_for_event(&mut self) {
        let wanted = Notification::Event(self.job.clone());
        tokio::select! {
            () = wait_for(&mut self.notifications, &wanted) => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = self.draining.wait_for(|draining| *draining) => {}
        }
    }
}
