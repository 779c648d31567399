//! `/v1/jobs/{id}/plan`, `/report`, and two reports compared.

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Reader,
    artifacts::{result, stored},
    error::ApiError,
    jobs::find,
    problem::Problem,
    state::ApiState,
};
use crate::job::Tenant;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(report)).routes(routes!(compare))
}

/// The largest report that is read into memory to be compared.
const LARGEST_REPORT: u64 = 256 << 20;

/// The resolved plan: decision and reason for each layer, match count for each pattern.
#[utoipa::path(get, path = "/v1/jobs/{id}/plan", operation_id = "get_plan", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The plan.", body = Object),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No worker has made the plan yet.", body = Problem,
         content_type = "application/problem+json"),
    ))]
async fn plan(State(state): State<ApiState>, reader: Reader, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let job = find(&state, reader.tenant(), &id).await?;
    let status = job.status.name();
    state.jobs.plan(reader.tenant(), &job.id).await?.map(Json).ok_or(ApiError::NotReady { what: "the plan", status })
}

/// The accuracy report.
#[utoipa::path(get, path = "/v1/jobs/{id}/report", operation_id = "get_report", tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "The report.", body = Object),
        (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The job has not succeeded.", body = Problem,
         content_type = "application/problem+json"),
    ))]
async fn report(State(state): State<ApiState>, reader: Reader, Path(id): Path<String>) -> Result<Response, ApiError> {
    let job = find(&state, reader.tenant(), &id).await?;
    let result = result(&job, "the report")?;
    let stored = stored(result, "report.json")?;
    let body = state.artifacts.read(&result.key(stored), None).await?;
    Ok(([(header::CONTENT_TYPE, stored.artifact.media_type.clone())], Body::from_stream(body)).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CompareParams {
    /// The id of the first job.
    #[param(pattern = "^qj_[0-9a-f]{32}$")]
    a: String,
    /// The id of the second job.
    #[param(pattern = "^qj_[0-9a-f]{32}$")]
    b: String,
}

/// A figure of two reports.
#[derive(Debug, Serialize, ToSchema)]
struct Difference {
    /// Of the first job.
    a: Option<f64>,
    /// Of the second job.
    b: Option<f64>,
    /// Second minus first; null unless both have it.
    change: Option<f64>,
}

impl Difference {
    fn of(a: &Value, b: &Value) -> Self {
        let (a, b) = (a.as_f64(), b.as_f64());
        Difference { a, b, change: a.zip(b).map(|(a, b)| b - a) }
    }
}

/// A layer in two reports.
#[derive(Debug, Serialize, ToSchema)]
struct LayerDifference {
    /// Its name.
    name: String,
    /// What the first job did with it; null if it has no such layer.
    decision_a: Option<String>,
    /// What the second job did with it.
    decision_b: Option<String>,
    /// SQNR of its weights, in dB.
    weights_sqnr_db: Difference,
    /// SQNR of its output, in dB.
    output_sqnr_db: Difference,
}

/// Two reports side by side.
#[derive(Debug, Serialize, ToSchema)]
struct Comparison {
    /// The id of the first job.
    a: String,
    /// The id of the second job.
    b: String,
    /// Every figure of the summaries.
    #[schema(value_type = std::collections::BTreeMap<String, Difference>)]
    summary: std::collections::BTreeMap<String, Difference>,
    /// Layers that differ in decision or figures, the largest change of SQNR first.
    layers: Vec<LayerDifference>,
    /// How many layers are the same in both.
    layers_equal: usize,
    /// Whether both jobs read the same model, by its digest; null where a digest is missing.
    same_model: Option<bool>,
}

/// Compare two reports: what another setting cost or gained.
#[utoipa::path(get, path = "/v1/reports/compare", operation_id = "compare_reports", tag = "results", params(CompareParams), responses(
    (status = 200, description = "The differences.", body = Comparison),
    (status = 400, description = "A parameter cannot be read.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such job.", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "A job has not succeeded.", body = Problem, content_type = "application/problem+json"),
))]
async fn compare(
    State(state): State<ApiState>,
    reader: Reader,
    params: Result<Query<CompareParams>, QueryRejection>,
) -> Result<Json<Comparison>, ApiError> {
    let Query(params) = params.map_err(|e| ApiError::Malformed { detail: e.body_text(), pointer: None })?;
    let (a, b) = (read(&state, reader.tenant(), &params.a).await?, read(&state, reader.tenant(), &params.b).await?);
    let (mut layers, layers_equal) = layers(&a, &b);
    layers.sort_by(|x, y| size(y).total_cmp(&size(x)));
    let empty = serde_json::Map::new();
    let fields = |report: &Value| report["summary"].as_object().unwrap_or(&empty).keys().cloned().collect::<Vec<_>>();
    let names = fields(&a).into_iter().chain(fields(&b));
    let numbers = names.filter(|name| a["summary"][name].is_number() || b["summary"][name].is_number());
    let summary = numbers.map(|name| {
        let difference = Difference::of(&a["summary"][&name], &b["summary"][&name]);
        (name, difference)
    });
    let digests = |report: &Value| {
        let files = report["inputs"]["model"].as_array()?;
        let all: Vec<Value> = files.iter().map(|file| file["sha256"].clone()).collect();
        all.iter().all(Value::is_string).then_some(all)
    };
    Ok(Json(Comparison {
        summary: summary.collect(),
        same_model: digests(&a).zip(digests(&b)).map(|(a, b)| a == b),
        a: params.a,
        b: params.b,
        layers,
        layers_equal,
    }))
}

async fn read(state: &ApiState, tenant: &Tenant, id: &str) -> Result<Value, ApiError> {
    let job = find(state, tenant, id).await?;
    let result = result(&job, "the report")?;
    let stored = stored(result, "report.json")?;
    if stored.artifact.size > LARGEST_REPORT {
        return Err(ApiError::TooLarge);
    }
    let body = state.artifacts.read(&result.key(stored), None).await?;
    let bytes = body.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    });
    let bytes = bytes.await.map_err(|_| ApiError::Unavailable { what: "artifact store" })?;
    serde_json::from_slice(&bytes).map_err(|_| ApiError::Internal)
}

fn layers(a: &Value, b: &Value) -> (Vec<LayerDifference>, usize) {
    let of = |report: &Value| report["layers"].as_array().cloned().unwrap_or_default();
    let by_name = |layers: &[Value]| -> std::collections::BTreeMap<String, Value> {
        layers.iter().map(|layer| (layer["name"].as_str().unwrap_or_default().to_owned(), layer.clone())).collect()
    };
    let (first, second) = (of(a), of(b));
    let (in_a, in_b) = (by_name(&first), by_name(&second));
    let new = second.iter().filter(|layer| !in_a.contains_key(layer["name"].as_str().unwrap_or_default()));
    let names = first.iter().chain(new).filter_map(|layer| layer["name"].as_str());
    let (mut different, mut equal) = (Vec::new(), 0);
    for name in names {
        let nothing = json!({});
        let (x, y) = (in_a.get(name).unwrap_or(&nothing), in_b.get(name).unwrap_or(&nothing));
        let weights = |layer: &Value| layer["weights"]["sqnr_db"].clone();
        let same = ["decision", "output_sqnr_db"].iter().all(|field| x[field] == y[field]) && weights(x) == weights(y);
        if same {
            equal += 1;
            continue;
        }
        let decision = |layer: &Value| layer["decision"].as_str().map(str::to_owned);
        different.push(LayerDifference {
            name: name.to_owned(),
            decision_a: decision(x),
            decision_b: decision(y),
            weights_sqnr_db: Difference::of(&weights(x), &weights(y)),
            output_sqnr_db: Difference::of(&x["output_sqnr_db"], &y["output_sqnr_db"]),
        });
    }
    (different, equal)
}

fn size(layer: &LayerDifference) -> f64 {
    let changes = [layer.weights_sqnr_db.change, layer.output_sqnr_db.change];
    changes.into_iter().flatten().map(f64::abs).fold(0.0, f64::max)
}
