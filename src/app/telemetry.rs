//! The API's [`Telemetry`]: the process's counters and traces.

use std::time::Duration;

use tracing::Span;

use crate::{
    api::{Answered, Telemetry},
    job::QueueStats,
    telemetry::{self, QueueFigures},
    traces,
};

/// The counters and traces of this process.
#[derive(Debug)]
pub(super) struct ProcessTelemetry;

impl Telemetry for ProcessTelemetry {
    fn join_trace(&self, span: &Span, traceparent: &str) {
        traces::adopt(span, traceparent);
    }

    fn answered(&self, answer: &Answered<'_>) {
        telemetry::answered(answer.method, answer.route, answer.status, answer.took);
    }

    fn metrics(&self, queue: &QueueStats) -> String {
        telemetry::render(&QueueFigures {
            jobs: queue.jobs.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
            waiting: queue.tasks_waiting,
            running: queue.tasks_running,
            oldest: Duration::from_millis(u64::try_from(queue.oldest_wait).unwrap_or(0)),
            workers: queue.workers,
        })
    }
}
