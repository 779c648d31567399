//! What clients see of a job.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::ProblemError;
use crate::{
    control::Progress,
    fault::Warning,
    job::{Failure, Job, JobStatus},
    report::Artifact,
};

/// How far the phase has come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProgressView {
    /// Units finished in this phase.
    units_done: u64,
    /// Units in this phase.
    units_total: u64,
    /// What a unit is.
    #[schema(example = "samples")]
    unit: String,
    /// Seconds left in this phase at the pace so far.
    eta_seconds: Option<f64>,
}

/// Something the user should know.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WarningView {
    /// JSON pointer to the value of the request that it is about.
    pointer: Option<String>,
    /// Stable name in snake case.
    code: String,
    /// The sentence for a person.
    message: String,
}

impl From<&Warning> for WarningView {
    fn from(w: &Warning) -> Self {
        WarningView { pointer: w.pointer.clone(), code: w.code.to_string(), message: w.message.clone() }
    }
}

/// Why a job failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureView {
    /// Stable name in snake case.
    #[schema(example = "model_corrupt")]
    code: String,
    /// The sentence for a person.
    message: String,
    /// What to do about it.
    hint: Option<String>,
    /// Whether the same job may succeed later.
    retryable: bool,
    /// The phase in which it happened.
    phase: Option<String>,
    /// What is wrong with the request, if that is the cause.
    errors: Vec<ProblemError>,
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        FailureView {
            code: failure.code.to_string(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            retryable: failure.retryable,
            phase: failure.phase.map(|phase| phase.name().to_owned()),
            errors: failure.errors.iter().map(ProblemError::from).collect(),
        }
    }
}

/// A file of the result.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactView {
    /// Its name, the last part of `href`.
    #[schema(example = "model.onnx")]
    name: String,
    /// Its size in bytes.
    size: u64,
    /// Its SHA-256 in hexadecimal.
    sha256: String,
    /// Its media type, by the ending of its name.
    media_type: String,
    /// Where to get it.
    href: String,
}

/// The artifacts of a job.
pub(super) fn artifacts(job: &Job) -> Vec<ArtifactView> {
    let view = |artifact: &Artifact| ArtifactView {
        name: artifact.name.clone(),
        size: artifact.size,
        sha256: artifact.sha256.clone().unwrap_or_default(),
        media_type: artifact.media_type.clone(),
        href: format!("/v1/jobs/{}/artifacts/{}", job.id, artifact.name),
    };
    let kept = job.result.iter().filter(|_| job.artifacts_expired_at.is_none());
    kept.flat_map(|result| result.artifacts.iter().map(|stored| view(&stored.artifact))).collect()
}

/// What a job that succeeded left.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultView {
    /// Its files, the manifest last.
    artifacts: Vec<ArtifactView>,
    /// The `summary` of `report.json`.
    #[schema(value_type = Object)]
    summary: Value,
    /// Whether the result reaches what the job asked for; null if it asked for nothing.
    #[schema(value_type = Option<Object>)]
    quality_gate: Value,
}

/// Where to go from here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LinksView {
    #[serde(rename = "self")]
    itself: String,
    events: String,
    plan: String,
    report: String,
    artifacts: String,
}

/// A job. Times are milliseconds since 1970.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobView {
    #[schema(example = "qj_01935e2a9b0070008000000000000001")]
    id: String,
    name: Option<String>,
    #[schema(value_type = StatusView)]
    status: JobStatus,
    /// What the job is doing; more phases may come.
    #[schema(example = "calibrating")]
    phase: Option<String>,
    progress: Option<ProgressView>,
    /// Attempts begun, those not counted that a worker gave back.
    attempt: i64,
    max_attempts: i64,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    cancel_requested_at: Option<i64>,
    /// When its files were removed by retention.
    artifacts_expired_at: Option<i64>,
    /// The request, as it was sent; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    config: Option<Value>,
    /// The rules as they are carried out: names canonical, defaults filled in; null of a job that an earlier version let in
    /// and no worker has planned.
    #[schema(value_type = Option<Object>)]
    effective_config: Value,
    /// What the user should know of; in lists the first five.
    warnings: Vec<WarningView>,
    /// How many warnings there are.
    warning_count: usize,
    error: Option<FailureView>,
    result: Option<ResultView>,
    labels: BTreeMap<String, String>,
    links: LinksView,
}

/// Where a job stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobStatus)]
#[expect(dead_code, reason = "the schema of the core's JobStatus, which knows nothing of OpenAPI")]
pub(super) enum StatusView {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelling,
    Cancelled,
    TimedOut,
}

impl JobView {
    /// A job in a list: without its request, which may be as large as a request may be.
    pub(super) fn listed(job: Job) -> Self {
        Self::of(job, false)
    }

    fn of(mut job: Job, whole: bool) -> Self {
        const LISTED: usize = 5;
        let warnings = if whole { usize::MAX } else { LISTED };
        let effective_config = job.effective_config.take().unwrap_or(Value::Null);
        let link = |tail: &str| format!("/v1/jobs/{}{tail}", job.id);
        JobView {
            links: LinksView {
                itself: link(""),
                events: link("/events"),
                plan: link("/plan"),
                report: link("/report"),
                artifacts: link("/artifacts"),
            },
            result: job.result.as_ref().map(|result| ResultView {
                artifacts: artifacts(&job),
                summary: result.summary.clone(),
                quality_gate: result.quality_gate.clone(),
            }),
            effective_config,
            config: whole.then(|| serde_json::to_value(&job.spec).unwrap_or(Value::Null)),
            id: job.id.to_string(),
            progress: job.progress.as_ref().map(|Progress { units_done, units_total, unit, eta_seconds }| {
                ProgressView {
                    units_done: *units_done,
                    units_total: *units_total,
                    unit: unit.clone(),
                    eta_seconds: *eta_seconds,
                }
            }),
            warning_count: job.warnings.len(),
            warnings: job.warnings.iter().take(warnings).map(WarningView::from).collect(),
            error: job.error.as_ref().map(FailureView::from),
            name: job.spec.name,
            status: job.status,
            phase: job.phase,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            cancel_requested_at: job.cancel_requested_at,
            artifacts_expired_at: job.artifacts_expired_at,
            labels: job.spec.labels,
        }
    }
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self::of(job, true)
    }
}
