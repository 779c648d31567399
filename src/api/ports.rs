//! The ports of the API alone: what it asks of the process that it runs in. Implemented in `app`.

use std::{fmt::Debug, time::Duration};

use tracing::Span;

use crate::{
    job::{QueueStats, Tenant},
    spec::Objection,
};

/// Knows where inputs may come from.
pub trait InputPolicy: Debug + Send + Sync {
    /// What is wrong with a tenant's URI; `pointer` is its place in the request.
    fn objection(&self, tenant: &Tenant, pointer: &str, uri: &str) -> Option<Objection>;
}

/// Knows where webhooks may be.
pub trait WebhookPolicy: Debug + Send + Sync {
    /// What is wrong with the URL of a webhook, in words that its owner may see.
    fn check(&self, url: &str) -> Result<(), String>;
}

/// Looks at the local disk.
pub trait DiskProbe: Debug + Send + Sync {
    /// What is wrong with it, if anything is.
    fn check(&self) -> Result<(), String>;
}

/// Counts and traces requests, and renders the process's figures.
pub trait Telemetry: Debug + Send + Sync {
    /// Makes a span part of the trace that a `traceparent` header names.
    fn join_trace(&self, span: &Span, traceparent: &str);

    /// Counts an answered request.
    fn answered(&self, answer: &Answered<'_>);

    /// All figures of the process and of the queue, in the OpenMetrics text format.
    fn metrics(&self, queue: &QueueStats) -> String;
}

/// An answered request, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The HTTP method, as the request line has it.
    pub method: &'a str,
    /// The path's template, or `none` where no route has the path.
    pub route: &'a str,
    /// The HTTP status of the response.
    pub status: u16,
    /// From the request to the head of the answer.
    pub took: Duration,
}
