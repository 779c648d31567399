//! `POST /v1/plans`: what a job would do, without doing it.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Writer,
    admission::{admit, read},
    error::ApiError,
    job_schema::JobSchema,
    problem::Problem,
    request,
    state::ApiState,
    views::WarningView,
};
use crate::pipeline::Purpose;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// What a job would do.
#[derive(Debug, Serialize, ToSchema)]
struct PlanView {
    /// The rules as they would be carried out.
    #[schema(value_type = Object)]
    effective_config: Value,
    /// Decision and reason for each layer, match count for each pattern; `layer_count` of all layers, and whether `layers`
    /// is `cut` at ten thousand of them.
    #[schema(value_type = Object)]
    plan: Value,
    /// What the user should know.
    warnings: Vec<WarningView>,
    /// The size of the model's files; null where it is not known.
    bytes_before: Option<u64>,
    /// The predicted size of the result's.
    bytes_after: Option<u64>,
    /// The memory that running the model is predicted to take; null where no model is run, or there is no data.
    predicted_peak_bytes: Option<u64>,
    /// Into how many shards the work could be shared among workers; null where it could not.
    shards: Option<usize>,
}

/// Says of a plan, as jobs have it, how many layers there are, and leaves out those that are too many for an answer.
pub(super) fn cut(planned: &mut Value) {
    const MOST: usize = 10_000;
    let Some(plan) = planned.get_mut("plan").and_then(Value::as_object_mut) else { return };
    let Some(layers) = plan.get_mut("layers").and_then(Value::as_array_mut) else { return };
    let count = layers.len();
    layers.truncate(MOST);
    plan.insert("layer_count".to_owned(), count.into());
    plan.insert("cut".to_owned(), (count > MOST).into());
}

/// Plan a job without running it.
///
/// Needs the scope `jobs:write`, as running it does. Reads the model's header or graph alone. The request is the one of `POST /v1/jobs`; calibration data may be missing.
#[utoipa::path(post, path = "/v1/plans", operation_id = "plan_job", tag = "jobs", request_body = JobSchema, responses(
    (status = 200, description = "The plan.", body = PlanView),
    (status = 400, description = "The body is not JSON.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "The job cannot be carried out; every objection is listed.", body = Problem),
))]
async fn plan(
    State(state): State<ApiState>,
    writer: Writer,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PlanView>, ApiError> {
    let request = read(request::json_body(&headers, body)?).await?;
    let job = admit(&state, writer.tenant(), request, Purpose::Look)?;
    let known = job.warnings.clone();
    let planned = state.planner.plan(writer.tenant(), job).await;
    let mut dry = planned.map_err(|failure| ApiError::Failed(Box::new(failure)))?;
    cut(&mut dry.plan);
    let more = dry.warnings.iter().filter(|warning| !known.contains(warning));
    Ok(Json(PlanView {
        warnings: known.iter().chain(more).map(WarningView::from).collect(),
        effective_config: dry.plan["effective_config"].take(),
        plan: dry.plan["plan"].take(),
        bytes_before: dry.bytes.map(|(before, _)| before),
        bytes_after: dry.bytes.map(|(_, after)| after),
        predicted_peak_bytes: dry.peak_bytes,
        shards: dry.shards,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_of_too_many_layers_is_cut_and_says_so() {
        for (count, listed) in [(2, 2), (10_000, 10_000), (10_001, 10_000)] {
            let mut planned = json!({"effective_config": {}, "plan": {"layers": vec!["layer"; count], "patterns": []}});
            cut(&mut planned);
            let plan = &planned["plan"];
            assert_eq!(plan["layers"].as_array().unwrap().len(), listed);
            assert_eq!((&plan["layer_count"], &plan["cut"]), (&json!(count), &json!(count > listed)));
        }
    }
}
