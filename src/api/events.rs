//! `/v1/jobs/{id}/events`: the job's log, as a stream or as pages.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, error::ApiError, jobs::find, problem::Problem};
use crate::job::{Event, JobId, JobStatus};

/// How often a stream looks for news.
const POLL: Duration = Duration::from_millis(250);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);
/// The most events of one page.
const PAGE: i64 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(events))
}

#[derive(Debug, Deserialize, IntoParams)]
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
    /// What it tells, also the SSE event name; more may come.
    #[serde(rename = "type")]
    #[schema(example = "job.progress")]
    kind: String,
    /// The particulars.
    #[schema(value_type = Object)]
    data: Value,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        EventView { seq: event.seq, at: event.at, kind: event.kind.name().to_owned(), data: event.data }
    }
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
struct EventPage {
    /// The events, in order.
    events: Vec<EventView>,
    /// For the next page.
    next_after: i64,
}

/// Follow a job. Server-sent events unless `after` is given or `Accept` asks for JSON; `Last-Event-ID` resumes a stream,
/// which ends with the job.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path, description = "The job's id."), EventParams),
    responses(
        (status = 200, description = "The events.", content(
            (EventPage = "application/json"), (EventView = "text/event-stream"))),
        (status = 400, description = "A parameter cannot be read.", body = Problem,
         content_type = "application/problem+json"),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
    ))]
async fn events(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    params: Result<Query<EventParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(params) = params.map_err(|e| ApiError::Malformed { detail: e.body_text(), pointer: None })?;
    let job = find(&state, &id).await?;
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or_default();
    let accept = text(header::ACCEPT);
    let json = accept.contains("application/json") && !accept.contains("text/event-stream");
    if params.after.is_some() || json {
        let after = params.after.unwrap_or(0);
        let events = state.store.events(&job.id, after, PAGE).await?;
        let next_after = events.last().map_or(after, |event| event.seq);
        let events = events.into_iter().map(EventView::from).collect();
        return Ok(Json(EventPage { events, next_after }).into_response());
    }
    let last_seen: i64 = text(header::HeaderName::from_static("last-event-id")).parse().unwrap_or(0);
    let stream = follow(state, job.id, last_seen);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

/// Where a stream stands.
struct Follow {
    state: ApiState,
    job: JobId,
    seen: i64,
    pending: VecDeque<Event>,
    ended: bool,
}

fn follow(state: ApiState, job: JobId, seen: i64) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let start = Follow { state, job, seen, pending: VecDeque::new(), ended: false };
    stream::unfold(start, |mut at| async move {
        loop {
            if let Some(event) = at.pending.pop_front() {
                at.seen = event.seq;
                at.ended |= is_end(&event);
                let view = EventView::from(event);
                let data = serde_json::to_string(&view).unwrap_or_default();
                let line = sse::Event::default().id(view.seq.to_string()).event(view.kind).data(data).retry(RECONNECT);
                return Some((Ok(line), at));
            }
            if at.ended {
                return None;
            }
            match at.state.store.events(&at.job, at.seen, PAGE).await {
                Ok(events) => at.pending.extend(events),
                // The client comes back with the number of the last event it saw.
                Err(error) => {
                    tracing::warn!(job = %at.job, %error, "an event stream ends early");
                    return None;
                }
            }
            if at.pending.is_empty() {
                // One who comes back after the end would otherwise wait for ever.
                match at.state.store.get(&at.job).await {
                    Ok(Some(job)) if !job.status.is_terminal() => tokio::time::sleep(POLL).await,
                    Ok(Some(_)) => {
                        at.ended = true;
                        let rest = at.state.store.events(&at.job, at.seen, PAGE).await;
                        at.pending.extend(rest.unwrap_or_default());
                    }
                    _ => return None,
                }
            }
        }
    })
}

fn is_end(event: &Event) -> bool {
    let status = event.data.get("status").and_then(Value::as_str).and_then(|name| name.parse::<JobStatus>().ok());
    status.is_some_and(JobStatus::is_terminal)
}
