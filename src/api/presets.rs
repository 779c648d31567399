//! `/v1/presets`: sections by name.

use axum::Json;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, access::Reader};
use crate::spec::{PRESETS, Preset};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A section by name.
#[derive(Debug, Serialize, ToSchema)]
struct PresetView {
    /// The name in `quantize.preset`.
    #[schema(example = "fp8_dynamic")]
    name: &'static str,
    /// What it makes and who loads that, in a sentence.
    summary: &'static str,
    /// The `quantize` section that it stands for. Rules of the request go behind its own, and options of the request count.
    #[schema(value_type = Object)]
    quantize: Value,
}

impl From<&Preset> for PresetView {
    fn from(preset: &Preset) -> Self {
        PresetView { name: preset.name, summary: preset.summary, quantize: preset.section() }
    }
}

/// The presets of this version.
#[derive(Debug, Serialize, ToSchema)]
struct PresetList {
    /// Every preset, sorted by name.
    presets: Vec<PresetView>,
}

/// What `quantize.preset` can name, and the section that each stands for.
#[utoipa::path(get, path = "/v1/presets", operation_id = "list_presets", tag = "catalogue", responses(
    (status = 200, description = "The presets.", body = PresetList),
))]
async fn list(_: Reader) -> Json<PresetList> {
    Json(PresetList { presets: PRESETS.iter().map(PresetView::from).collect() })
}
