//! The OpenAPI document: its head, and what is the same for many operations.

use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
        link::Link,
        path::Operation,
        schema::{AdditionalProperties, ArrayItems, SchemaType},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::problem::MEDIA_TYPE;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ptqd",
        description = "Post-training quantization as a service. A job names a model, calibration data and a `quantize` \
                       section in the vocabulary of NVIDIA's TAO Quant; the quantized model and an accuracy report \
                       come back as artifacts. Errors are RFC 9457 problem documents."
    ),
    tags(
        (name = "jobs", description = "Submit jobs and follow them."),
        (name = "results", description = "Plans, reports and artifacts."),
        (name = "catalogue", description = "What can be asked for."),
        (name = "uploads", description = "Files for the service itself to keep."),
        (name = "webhooks", description = "Job events, POSTed to URLs of the tenant."),
        (name = "operations", description = "The service itself.")
    ),
    modifiers(&Bearer),
    security((), ("api_key" = []))
)]
struct ApiDoc;

/// The security scheme: an API key as a bearer token. Optional, since a server may be open.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API key, `ptqd_…`, or a token of the OpenID provider. Not needed where the server is open.",
            ))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The document without its operations.
pub(super) fn head() -> Document {
    ApiDoc::openapi()
}

/// What any operation may be answered with, besides what it says itself.
const COMMON: [(&str, &str); 4] = [
    ("401", "No key, or one that is not accepted."),
    ("403", "The key lacks the scope that this needs."),
    ("429", "Too many requests; `Retry-After` says when to come back."),
    ("503", "The server is about to stop, has too much to do, or its database does not answer."),
];

/// An example of each schema, and of answers that are free in form. They are what a server really said, shortened by
/// tests/tools/api_examples.py; tests/interop/check_api.py holds them against the schemas.
const EXAMPLES: &str = include_str!("../../openapi/examples.json");

/// Operations whose answers are free in form, with the names of their examples.
const FREE: [(&str, &str); 2] = [("get_plan", "Plan"), ("get_report", "Report")];

/// Where the id of an answer leads: the operation that gives it, and the operations that take it.
const LINKS: [(&str, &str, &[&str]); 3] = [
    (
        "create_job",
        "202",
        &[
            "get_job",
            "cancel_job",
            "retry_job",
            "delete_job",
            "list_events",
            "get_plan",
            "get_report",
            "list_artifacts",
            "download_artifact",
        ],
    ),
    ("create_webhook", "201", &["list_deliveries", "delete_webhook"]),
    ("create_key", "201", &["revoke_key"]),
];

/// Gives the answers that are a [`Problem`](super::problem::Problem) its media type; handlers say no more than the body.
fn mark_problems(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(Response { content, .. }) = response else { continue };
        if matches!(content.get("application/json"), Some(RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }))
            if schema.ref_location.ends_with("/Problem"))
        {
            let problem = content.shift_remove("application/json");
            content.extend(problem.map(|problem| (MEDIA_TYPE.to_owned(), problem)));
        }
    }
}

/// Adds what many operations share: answers, examples, links.
pub(super) fn finished(mut document: Document) -> Document {
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    schemas.for_each(open_objects);
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
        for operation in operations {
            if path.starts_with("/v1/") || path == "/metrics" {
                share(operation);
            }
            mark_problems(operation);
            illustrate(operation, &examples);
            for response in operation.responses.responses.values_mut() {
                let RefOr::T(response) = response else { continue };
                for content in response.content.values_mut() {
                    if let RefOr::T(Content { schema: Some(schema), .. }) = content {
                        open_objects(schema);
                    }
                }
            }
        }
    }
    document
}

/// Says of objects that are free in form that they may have fields. Generators take one without a word on that for empty.
fn open_objects(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if object.properties.is_empty() && object.additional_properties.is_none() && is_object(&object.schema_type)
            {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
            }
            object.properties.values_mut().for_each(open_objects);
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                open_objects(items);
            }
        }
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter_mut().for_each(open_objects),
        _ => {}
    }
}

fn is_object(kind: &SchemaType) -> bool {
    match kind {
        SchemaType::Type(kind) => *kind == Type::Object,
        SchemaType::Array(kinds) => kinds.contains(&Type::Object),
        SchemaType::AnyValue => false,
    }
}

fn share(operation: &mut Operation) {
    for (status, description) in COMMON {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new().description(description).content(MEDIA_TYPE, content);
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response.build()));
    }
    let name = operation.operation_id.clone().unwrap_or_default();
    for (from, status, to) in LINKS {
        if let (true, Some(RefOr::T(response))) = (from == name, operation.responses.responses.get_mut(status)) {
            for target in to {
                let link = Link::builder().operation_id(*target).parameter("id", "$response.body#/id");
                response.links.insert((*target).to_owned(), RefOr::T(link.build()));
            }
        }
    }
}

/// Gives every answer with a body an example.
fn illustrate(operation: &mut Operation, examples: &Value) {
    let name = operation.operation_id.clone().unwrap_or_default();
    let free = FREE.iter().find(|(operation, _)| *operation == name).map(|(_, example)| *example);
    let bodies = match &mut operation.request_body {
        Some(RefOr::T(body)) => body.content.values_mut().collect(),
        _ => Vec::new(),
    };
    for body in bodies {
        let RefOr::T(body) = body else { continue };
        if let Some(RefOr::Ref(schema)) = &body.schema {
            body.example = schema.ref_location.rsplit('/').next().and_then(|name| examples.get(name)).cloned();
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(Response { content, .. }) = response else { continue };
        for (media_type, content) in content.iter_mut() {
            let RefOr::T(content) = content else { continue };
            let schema = match &content.schema {
                Some(RefOr::Ref(schema)) => schema.ref_location.rsplit('/').next().unwrap_or_default(),
                _ => free.filter(|_| media_type == "application/json").unwrap_or_default(),
            };
            content.example = match schema {
                "" => None,
                "Problem" => examples["Problems"].get(status).cloned(),
                schema => examples.get(schema).cloned(),
            };
        }
    }
}
