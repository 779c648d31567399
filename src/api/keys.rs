//! `/v1/keys`: the tenant's API keys.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::Admin,
    error::ApiError,
    extract::{Body, FromBody, PathParams},
    problem::Problem,
    state::ApiState,
};
use crate::{
    access::{ApiKey, KeySecret, Scope, Scopes},
    spec::{Object, Objection, ObjectionCode, Reader},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// What a key may do.
#[derive(Serialize, ToSchema)]
#[schema(as = Scope)]
#[expect(dead_code, reason = "the schema of the core's Scope, which knows nothing of OpenAPI")]
enum ScopeView {
    #[serde(rename = "jobs:read")]
    Read,
    #[serde(rename = "jobs:write")]
    Write,
    #[serde(rename = "admin")]
    Admin,
    #[serde(rename = "operator")]
    Operator,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    /// A name for people.
    #[schema(min_length = 1, max_length = 200, example = "ci")]
    name: String,
    /// What it may do: `jobs:read`, `jobs:write`, `admin`. Each includes those before it.
    #[schema(value_type = Vec<ScopeView>, min_items = 1, example = json!(["jobs:write"]))]
    scopes: Vec<Scope>,
    /// Days until it ends; never without it.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

impl FromBody for KeyRequest {
    fn read(reader: &mut Reader, body: &Object<'_>) -> Self {
        reader.only_known(body, &["name", "scopes", "expires_in_days"]);
        reader.required(body, "name", "a name", r#""ci""#);
        let name = reader.text(body, "name").unwrap_or_default().to_owned();
        if body.get("name").is_some_and(Value::is_string)
            && (!(1..=200).contains(&name.chars().count()) || name.contains('\0'))
        {
            reader.object_to("/name", ObjectionCode::OutOfRange, "must have 1 to 200 characters");
        }
        let expires_in_days = reader.integer(body, "expires_in_days", 1..=3650);
        reader.required(body, "scopes", "a list of scopes", r#"["jobs:write"]"#);
        let names = reader.list(body, "scopes", "a list of names");
        if body.get("scopes").is_some_and(Value::is_array) && names.is_empty() {
            reader.missing("/scopes", "a scope", r#"["jobs:write"]"#);
        }
        let scopes = names.iter().enumerate().filter_map(|(at, name)| scope(reader, format!("/scopes/{at}"), name));
        KeyRequest { name, scopes: scopes.collect(), expires_in_days }
    }
}

fn scope(reader: &mut Reader, pointer: String, name: &Value) -> Option<Scope> {
    let Some(name) = name.as_str() else {
        reader.wrong_type(pointer, "a string", name);
        return None;
    };
    let scope = name.parse::<Scope>().and_then(|scope| match scope {
        Scope::Operator => Err("`operator` is given by `ptqd keys create` alone".to_owned()),
        scope => Ok(scope),
    });
    if let Err(why) = &scope {
        let names = Scope::OF_TENANT.map(Scope::name);
        let objection = Objection::new(pointer, ObjectionCode::OutOfRange, why);
        reader.objections.push(objection.near(name, names).allowed(names));
    }
    scope.ok()
}

/// An API key. Times are milliseconds since 1970.
#[derive(Debug, Serialize, ToSchema)]
struct KeyView {
    /// Its id, the part of the key that may be shown.
    id: String,
    name: String,
    #[schema(value_type = Vec<ScopeView>)]
    scopes: Vec<&'static str>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    /// When it was used last, to the minute; null if it never was.
    last_used_at: Option<i64>,
    /// The whole key; only in the response that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ptqd_…")]
    key: Option<String>,
}

impl KeyView {
    fn new(key: ApiKey, secret: Option<&KeySecret>) -> Self {
        KeyView {
            scopes: key.scopes.names(),
            id: key.id,
            name: key.name,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            key: secret.map(KeySecret::reveal),
        }
    }
}

/// All keys of the tenant, expired and revoked ones included.
#[derive(Debug, Serialize, ToSchema)]
struct KeyList {
    /// The keys, oldest first.
    keys: Vec<KeyView>,
}

/// Make an API key for the tenant.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "operations", request_body = KeyRequest, responses(
    (status = 201, description = "The key; this is the only response that has it whole.", body = KeyView),
    (status = 400, description = "The body is no key.", body = Problem),
    (status = 413, description = "The body is too large.", body = Problem),
    (status = 415, description = "The body is not JSON.", body = Problem),
    (status = 422, description = "A field is not acceptable.", body = Problem),
))]
async fn create(
    State(state): State<ApiState>,
    admin: Admin,
    Body(request): Body<KeyRequest>,
) -> Result<Response, ApiError> {
    let mut random = [0; 38];
    getrandom::fill(&mut random).map_err(|_| ApiError::Internal)?;
    let secret = KeySecret::new(random);
    let lasts = request.expires_in_days.map(|days| Duration::from_secs(u64::from(days) * 24 * 3600));
    let scopes: Scopes = request.scopes.into_iter().collect();
    let key = state.keys.create_key(&secret, admin.tenant(), &request.name, &scopes, lasts).await?;
    Ok((StatusCode::CREATED, Json(KeyView::new(key, Some(&secret)))).into_response())
}

/// List the tenant's API keys.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "operations", responses(
    (status = 200, description = "The keys, without their secrets.", body = KeyList),
))]
async fn list(State(state): State<ApiState>, admin: Admin) -> Result<Json<KeyList>, ApiError> {
    let keys = state.keys.keys(Some(admin.tenant())).await?;
    Ok(Json(KeyList { keys: keys.into_iter().map(|key| KeyView::new(key, None)).collect() }))
}

/// Revoke an API key, at once and for good.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "operations",
    params(("id" = String, Path, description = "The key's id.")),
    responses(
        (status = 204, description = "It opens nothing any more."),
        (status = 404, description = "There is no such key.", body = Problem),
    ))]
async fn revoke(
    State(state): State<ApiState>,
    admin: Admin,
    PathParams(id): PathParams<String>,
) -> Result<StatusCode, ApiError> {
    let missing = ApiError::NotFound { what: "such key" };
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(missing);
    }
    let done = state.keys.revoke_key(&id, Some(admin.tenant())).await?;
    done.then_some(StatusCode::NO_CONTENT).ok_or(missing)
}
