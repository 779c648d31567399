//! The log and the figures, and the functions that everyone counts with.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};
use serde_json::Value;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{control::Phase, panics::log_panics};

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging, of panics as well; `filter` is a level, or levels by module: `info`, `warn,ptqd=debug`. One that cannot be read is `info`.
/// `traces` takes spans besides.
pub fn start(
    filter: &str,
    format: LogFormat,
    traces: Option<Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>>,
) {
    let filter = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| OneLine(std::io::stderr()));
    let lines: Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).boxed(),
    };
    // Already set in tests that start more than one server.
    let _ = tracing_subscriber::registry()
        .with(traces.into_iter().chain([lines]).collect::<Vec<_>>())
        .with(filter)
        .try_init();
    log_panics();
}

/// Writes each event as one line, whatever names it tells of: a line break in a name must not begin a line that was never
/// logged. An event comes in one piece.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An event without line breaks but the last; a terminal's colours are left.
fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |text: &[u8]| text.iter().any(|&byte| matches!(byte, b'\n' | b'\r'));
    let (text, end) = event.strip_suffix(b"\n").map_or((event, &b""[..]), |text| (text, &b"\n"[..]));
    if !breaks(text) {
        return Cow::Borrowed(event);
    }
    let mut line = Vec::with_capacity(event.len() + 16);
    for &byte in text {
        match byte {
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            byte => line.push(byte),
        }
    }
    line.extend(end);
    Cow::Owned(line)
}

/// Labels of a series: name and value.
type Labels = Vec<(&'static str, String)>;
type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0])
}

/// The figures of this process. They are one set, however many servers it has.
#[derive(Debug)]
struct Figures {
    registry: Registry,
    attempts: Family<Labels, Counter>,
    phase_seconds: Seconds,
    weight_bytes: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    request_seconds: Seconds,
    deliveries: Family<Labels, Counter>,
    jobs: Family<Labels, Gauge>,
    queue: Family<Labels, Gauge>,
    oldest: Gauge<f64, AtomicU64>,
    workers: Gauge,
}

impl Figures {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("ptqd");
        let r = &mut registry;
        let timed = || Seconds::new_with_constructor(seconds);
        Figures {
            attempts: kept(
                r,
                "attempts",
                "Attempts that ended, by outcome and the code of their failure",
                Family::default(),
            ),
            phase_seconds: kept(r, "phase_seconds", "Seconds that jobs which succeeded spent in each phase", timed()),
            weight_bytes: kept(r, "weight_bytes", "Bytes of weights of jobs which succeeded", Family::default()),
            requests: kept(r, "http_requests", "Answered requests", Family::default()),
            request_seconds: kept(r, "http_request_seconds", "Seconds from a request to its answer's head", timed()),
            deliveries: kept(r, "webhook_attempts", "Attempts to tell a webhook something", Family::default()),
            jobs: kept(r, "jobs", "Jobs by status", Family::default()),
            queue: kept(r, "queue_depth", "Tasks that wait for a worker, or have one", Family::default()),
            oldest: kept(r, "queue_oldest_seconds", "Seconds that the oldest task has waited", Gauge::default()),
            workers: kept(r, "workers", "Workers that were alive within the last minute", Gauge::default()),
            registry,
        }
    }
}

/// Registers a figure and hands it back.
fn kept<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn figures() -> &'static Figures {
    static FIGURES: OnceLock<Figures> = OnceLock::new();
    FIGURES.get_or_init(Figures::new)
}

/// An attempt at a task ended; `code` is that of its failure.
pub fn attempt_ended(outcome: &str, code: &str) {
    let labels = vec![("outcome", outcome.to_owned()), ("code", code.to_owned())];
    figures().attempts.get_or_create(&labels).inc();
}

/// A job succeeded; `summary` is its report's.
pub fn job_succeeded(summary: &Value) {
    // A stranger's process wrote it: only names that there are become series, and no figure overflows what is summed.
    const LARGEST: u64 = 1 << 50;
    let seconds = summary["seconds"].as_object().into_iter().flatten();
    for (phase, seconds) in seconds.filter(|(phase, _)| Phase::ALL.iter().any(|known| known.name() == phase.as_str())) {
        let labels = vec![("phase", phase.clone())];
        figures().phase_seconds.get_or_create(&labels).observe(seconds.as_f64().unwrap_or(0.0));
    }
    for (when, field) in [("before", "bytes_before"), ("after", "bytes_after")] {
        let labels = vec![("when", when.to_owned())];
        figures().weight_bytes.get_or_create(&labels).inc_by(summary[field].as_u64().unwrap_or(0).min(LARGEST));
    }
}

/// A request was answered. `route` is the path's template, so that ids do not multiply the series.
pub fn answered(method: &str, route: &str, status: u16, took: Duration) {
    // A request may name any method, and each would be a series of its own.
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = if METHODS.contains(&method) { method } else { "other" };
    let mut labels = vec![("method", method.to_owned()), ("route", route.to_owned())];
    figures().request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    labels.push(("status", status.to_string()));
    figures().requests.get_or_create(&labels).inc();
}

/// Counts an attempt to deliver to a webhook.
pub fn delivery_attempted(delivered: bool) {
    let outcome = if delivered { "delivered" } else { "failed" };
    figures().deliveries.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
}

/// What the queue looks like now.
#[derive(Clone, Debug, Default)]
pub struct QueueFigures<'a> {
    /// Each status with its number of jobs.
    pub jobs: Vec<(&'a str, i64)>,
    /// Number of tasks that no worker has taken.
    pub waiting: i64,
    /// Tasks that a worker has.
    pub running: i64,
    /// For how long the oldest one waits.
    pub oldest: Duration,
    /// Workers that were alive within the last minute.
    pub workers: i64,
}

/// All figures, in the OpenMetrics text format that Prometheus reads.
pub fn render(queue: &QueueFigures<'_>) -> String {
    let figures = figures();
    for (status, count) in &queue.jobs {
        figures.jobs.get_or_create(&vec![("status", (*status).to_owned())]).set(*count);
    }
    for (state, count) in [("waiting", queue.waiting), ("running", queue.running)] {
        figures.queue.get_or_create(&vec![("state", state.to_owned())]).set(count);
    }
    figures.oldest.set(queue.oldest.as_secs_f64());
    figures.workers.set(queue.workers);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &figures.registry);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let forged = b"WARN node `x\n{\"level\":\"ERROR\"}\r` is left\n";
        assert_eq!(&*one_line(forged), b"WARN node `x\\n{\"level\":\"ERROR\"}\\r` is left\n");
        assert_eq!(&*one_line(b"plain\n"), b"plain\n");
        assert_eq!(&*one_line(b"a\nb"), b"a\\nb");
    }
}
