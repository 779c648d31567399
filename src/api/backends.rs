//! `/v1/backends`: what each backend can do, and the JSON Schema of what it takes.

use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, access::Reader, error::ApiError, extract::PathParams, problem::Problem};
use crate::{
    backend::{self, BACKENDS, Backend, BackendOption, Capabilities, OptionKind},
    numeric::DType,
    spec::{NATIVE, PRESET_BACKEND, PRESETS},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// A key of `backend_kwargs`.
#[derive(Debug, Serialize, ToSchema)]
struct OptionView {
    /// Its key in `backend_kwargs`.
    name: &'static str,
    /// What it does, in a phrase.
    summary: &'static str,
    /// What it is where it is not given, in words.
    default: String,
    /// The JSON Schema of its values.
    #[schema(value_type = Object)]
    schema: Value,
}

/// What a backend can do.
#[derive(Debug, Serialize, ToSchema)]
struct BackendView {
    /// The name in `quantize.backend`.
    #[schema(example = "modelopt")]
    name: &'static str,
    /// Other spellings of it.
    aliases: Vec<&'static str>,
    /// What it is, in a sentence.
    summary: &'static str,
    /// The one mode it has.
    #[schema(example = "static_ptq")]
    mode: &'static str,
    /// The model formats it takes.
    formats: Vec<&'static str>,
    /// The dtypes it gives to weights.
    weight_dtypes: Vec<&'static str>,
    /// The dtypes it gives to activations.
    activation_dtypes: Vec<&'static str>,
    /// The dtypes of activations whose scales are computed as the model runs, without calibration.
    dynamic_dtypes: Vec<&'static str>,
    /// The calibration algorithms it knows, the default first.
    algorithms: Vec<&'static str>,
    /// Whether it needs calibration data.
    needs_calibration: bool,
    /// The keys of `backend_kwargs`.
    options: Vec<OptionView>,
    /// The JSON Schema (draft 2020-12) of a `quantize` section for it.
    #[schema(value_type = Object)]
    schema: Value,
}

impl From<&dyn Backend> for BackendView {
    fn from(backend: &dyn Backend) -> Self {
        let c = backend.capabilities();
        let names = |dtypes: &[DType]| dtypes.iter().map(|dtype| dtype.spec().name).collect();
        BackendView {
            name: c.name,
            aliases: c.aliases.to_vec(),
            summary: c.summary,
            mode: c.mode.name(),
            formats: c.formats.to_vec(),
            weight_dtypes: names(c.weight_dtypes),
            activation_dtypes: names(c.activation_dtypes),
            dynamic_dtypes: names(c.dynamic_dtypes),
            algorithms: c.algorithms(),
            needs_calibration: c.calibrates(),
            options: c.options.iter().map(|o| option(*o)).collect(),
            schema: schema(c),
        }
    }
}

fn option(option: &dyn BackendOption) -> OptionView {
    let (name, summary) = (option.name(), option.summary());
    OptionView { name, summary, default: option.default(), schema: values(&option.kind()) }
}

fn values(kind: &OptionKind) -> Value {
    match kind {
        OptionKind::Switch => json!({"type": "boolean"}),
        OptionKind::OneOf(texts) => json!({"type": "string", "enum": texts}),
        OptionKind::Number(numbers) => json!({"type": "integer", "enum": numbers}),
        OptionKind::Between(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
        OptionKind::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
    }
}

/// The JSON Schema of a `quantize` section, from the tables that it is checked with. TAO's other spellings are accepted
/// besides; these are the canonical ones.
fn schema(c: &Capabilities) -> Value {
    let dtype = |dtypes: &[DType]| {
        let names: Vec<&str> = dtypes.iter().map(|dtype| dtype.spec().name).chain([NATIVE]).collect();
        json!({"type": "object", "properties": {"dtype": {"type": "string", "enum": names}}, "required": ["dtype"]})
    };
    let described = |option: &&dyn BackendOption| {
        let mut schema = values(&option.kind());
        schema["description"] = json!(format!("{}; default: {}", option.summary(), option.default()));
        (option.name().to_owned(), schema)
    };
    let options: serde_json::Map<String, Value> = c.options.iter().map(described).collect();
    let patterns = "a glob on the layer's name, `re:` and a regular expression, or a class of layers";
    let more = c.dynamic_dtypes.iter().filter(|dtype| !c.activation_dtypes.contains(dtype));
    let activations: Vec<DType> = c.activation_dtypes.iter().chain(more).copied().collect();
    let mut rule = json!({
        "type": "object", "required": ["module_name"], "additionalProperties": false,
        "properties": {
            "module_name": {"type": "string", "minLength": 1, "description": patterns},
            "weights": dtype(c.weight_dtypes),
            "activations": dtype(&activations),
        }
    });
    if !c.dynamic_dtypes.is_empty() {
        let names: Vec<&str> = c.dynamic_dtypes.iter().map(|dtype| dtype.spec().name).collect();
        let about = format!("scales are computed as the model runs, without calibration; for {}", names.join(", "));
        rule["properties"]["activations"]["properties"]["dynamic"] = json!({"type": "boolean", "description": about});
    }
    let mut properties = json!({
        "backend": {"type": "string", "enum": c.aliases.iter().chain([&c.name]).collect::<Vec<_>>()},
        "mode": {"type": "string", "const": c.mode.name()},
        "layers": {"type": "array", "items": Value::Null},
        "skip_names": {"type": "array", "items": {"type": "string", "minLength": 1}, "description": patterns},
        "backend_kwargs": {"type": "object", "additionalProperties": false, "properties": options},
    });
    if c.name == PRESET_BACKEND {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        let about = "rules and options by name, which those of the section override; see /v1/presets";
        properties["preset"] = json!({"type": "string", "enum": names, "description": about});
    }
    if c.calibrates() {
        let algorithm = json!({"type": "string", "enum": c.algorithms()});
        rule["properties"]["algorithm"] = algorithm.clone();
        properties["algorithm"] = algorithm;
    }
    properties["layers"]["items"] = rule;
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("quantize, backend {}", c.name),
        "description": c.summary,
        "type": "object",
        "required": ["backend"],
        "properties": properties,
    })
}

/// The backends of this version, whether or not a worker can run them now.
#[derive(Debug, Serialize, ToSchema)]
struct BackendList {
    /// Every backend, in the order of the catalogue.
    backends: Vec<BackendView>,
}

/// What can be asked for: backends, their formats, dtypes, algorithms and options.
#[utoipa::path(get, path = "/v1/backends", operation_id = "list_backends", tag = "catalogue", responses(
    (status = 200, description = "The backends.", body = BackendList),
))]
async fn list(_: Reader) -> Json<BackendList> {
    Json(BackendList { backends: BACKENDS.into_iter().map(BackendView::from).collect() })
}

/// One backend.
#[utoipa::path(get, path = "/v1/backends/{name}", operation_id = "get_backend", tag = "catalogue",
    params(("name" = String, Path, description = "Its name or an alias.")),
    responses(
        (status = 200, description = "The backend.", body = BackendView),
        (status = 404, description = "There is no such backend.", body = Problem),
    ))]
async fn show(_: Reader, PathParams(name): PathParams<String>) -> Result<Json<BackendView>, ApiError> {
    let found = backend::find(&name).ok_or(ApiError::NotFound { what: "such backend" })?;
    Ok(Json(found.into()))
}
