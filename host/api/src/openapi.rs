//! The description of the API: OpenAPI 3.1, at `/openapi.json`.
//!
//! One line for each operation in `OPERATIONS`; the shapes come from the types of the answers. A test
//! holds the table and the router together.

pub mod requests;

use crate::error::FieldProblem;
use crate::openapi::requests::{
    ChangeRequest, ChoiceRequest, ChoicesRequest, GuardrailsRequest, MetricsRequest, OverridesRequest, PolicyRequest,
    ProblemDetails, SamplesRequest, ScaleRequest, StartContainerRequest,
};
use crate::request::NoQuery;
use crate::{containers, discovery, images, metrics, policies, status, views};
use axum::Json;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(components(schemas(
    StartContainerRequest,
    ScaleRequest,
    ChangeRequest,
    ProblemDetails,
    FieldProblem,
    views::StartAnswer,
    views::WaitingAnswer,
    views::ReconcileAnswer,
    views::ImageView,
    views::PolicyView,
    views::PolicyDetail,
    views::RevisionView,
    PolicyRequest,
    GuardrailsRequest,
    OverridesRequest,
    MetricsRequest,
    SamplesRequest,
    metrics::ImageMetrics,
    metrics::PushedSamples,
    ChoiceRequest,
    ChoicesRequest,
    images::ImageList,
    images::ImageContainers,
    images::ImageHealth,
    images::DecisionView,
    images::ImageDecisions,
    views::ImageShadows,
    images::DeletedImage,
    containers::ContainerList,
    containers::ChangedContainer,
    containers::DeletedContainer,
    status::Health,
    status::Ready,
    discovery::TargetGroups,
    policies::PolicyList,
)))]
struct Shapes;

/// One operation: method, path, what it does, the shape of its body (empty: none), of its answer, and
/// its errors.
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: &'static str,
    errors: &'static [u16],
}

const fn operation(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: &'static str,
    errors: &'static [u16],
) -> Operation {
    Operation { method, path, summary, body, answer, errors }
}

/// The body that is no JSON.
const COMPONENT: &str = "application/wasm";

/// The answer that is no JSON.
const FIGURES: &str = "application/openmetrics-text";

/// Every operation, in the order of the router. 401, 403 and 500 can come of any.
#[rustfmt::skip]
pub(crate) const OPERATIONS: &[Operation] = &[
    operation("get", "/health", "The process answers", "", "Health", &[]),
    operation("get", "/ready", "Whether Windlass can do its work; 503 says why not", "", "Ready", &[503]),
    operation("get", "/metrics", "What Windlass counts of itself, in the form of OpenMetrics", "", FIGURES, &[503]),
    operation("get", "/discovery/prometheus", "Where each port of each running replica is reached, in the form of Prometheus' HTTP service discovery", "", "TargetGroups", &[422, 503]),
    operation("get", "/policies", "The policies: names, versions, digests, schemas", "", "PolicyList", &[503]),
    operation("get", "/policies/{name}", "One policy with its revisions", "", "PolicyDetail", &[404, 503]),
    operation("put", "/policies/{name}", "Register a component as the newest revision, which acts from the next pass on, or as the candidate", COMPONENT, "PolicyDetail", &[409, 413, 415, 422, 503]),
    operation("delete", "/policies/{name}", "Forget a policy that no workload chose, with all its revisions", "", "PolicyDetail", &[404, 409, 503]),
    operation("post", "/policies/{name}/refresh", "Look again at where its reference into a registry leads", "", "PolicyDetail", &[404, 409, 422, 502, 503]),
    operation("post", "/policies/{name}/promote", "Let the candidate act, or the revision of a number", "", "PolicyDetail", &[404, 409, 422, 503]),
    operation("post", "/policies/{name}/rollback", "Let the revision before the acting one act again", "", "PolicyDetail", &[404, 409, 503]),
    operation("post", "/start/container", "Store what is wanted and answer after the pass that made it so", "StartContainerRequest", "StartAnswer", &[400, 409, 413, 415, 422, 503]),
    operation("get", "/containers", "Every container, as last seen", "", "ContainerList", &[503]),
    operation("patch", "/containers/{name_or_id}", "Stop a container and hold it, or start it again and count it", "ChangeRequest", "ChangedContainer", &[400, 404, 409, 413, 415, 422, 503]),
    operation("delete", "/containers/{name_or_id}", "Remove a container", "", "DeletedContainer", &[400, 404, 409, 422, 503]),
    operation("get", "/images", "Every workload", "", "ImageList", &[503]),
    operation("get", "/images/{image}", "What was asked for, what runs, and what the last pass made of it", "", "ImageView", &[404, 503]),
    operation("delete", "/images/{image}", "Stop and remove every container of a workload, and forget it", "", "DeletedImage", &[400, 404, 409, 503]),
    operation("post", "/images/{image}/scale", "Change the bounds and answer after the pass that made it so", "ScaleRequest", "ReconcileAnswer", &[400, 404, 409, 413, 415, 422, 503]),
    operation("post", "/images/{image}/reconcile", "Make a pass and answer after it", "", "ReconcileAnswer", &[404, 503]),
    operation("put", "/images/{image}/policy", "Choose the policies of a workload and answer after their first pass", "PolicyRequest", "ImageView", &[404, 413, 415, 422, 503]),
    operation("get", "/images/{image}/containers", "The containers of a workload, as last seen", "", "ImageContainers", &[503]),
    operation("get", "/images/{image}/health", "How the containers of a workload are, from the last look and samples", "", "ImageHealth", &[503]),
    operation("put", "/images/{image}/guardrails", "Change how fast the count may follow what is proposed", "GuardrailsRequest", "ImageView", &[400, 404, 409, 413, 415, 422, 503]),
    operation("patch", "/images/{image}/overrides", "Pause scaling, freeze a direction, or force a count for a time", "OverridesRequest", "ImageView", &[400, 404, 409, 413, 415, 422, 503]),
    operation("get", "/images/{image}/metrics", "What is measured of a workload, with the values since a time", "", "ImageMetrics", &[404, 422, 503]),
    operation("put", "/images/{image}/metrics", "Replace what is measured of a workload", "MetricsRequest", "ImageView", &[400, 404, 409, 413, 415, 422, 503]),
    operation("post", "/images/{image}/metrics", "Send values of metrics that are pushed", "SamplesRequest", "PushedSamples", &[400, 404, 413, 415, 422, 503]),
    operation("get", "/images/{image}/decisions", "The newest decisions of a workload", "", "ImageDecisions", &[404, 422, 503]),
    operation("get", "/decisions/{id}", "One decision: what each policy was told and shown, what it answered, and what came of it", "", "DecisionView", &[404, 422, 503]),
    operation("get", "/images/{image}/shadows", "What the shadows of a workload would have said, and where it differs", "", "ImageShadows", &[404, 503]),
    operation("get", "/openapi.json", "This description", "", "", &[503]),
];

/// `GET /openapi.json`.
pub async fn serve(_: NoQuery) -> Json<Value> {
    Json(document())
}

/// The whole document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let item =
            paths.entry(operation.path).or_insert_with(|| json!({"parameters": path_parameters(operation.path)}));
        item[operation.method] = describe(operation);
    }
    let mut components = json!(Shapes::openapi().components);
    components["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Windlass",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "Keeps the right number of containers alive; WebAssembly components decide what right means. \
                Times are milliseconds since the Unix epoch. Every error is `application/problem+json`.",
        },
        // Where no token is set, none is asked for.
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": components,
    })
}

fn describe(operation: &Operation) -> Value {
    let id: String = format!("{} {}", operation.method, operation.path)
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_");
    let schema = |name: &str| match name {
        "" => json!({"type": "object"}),
        name => json!({"$ref": format!("#/components/schemas/{name}")}),
    };
    let problem = json!({"application/problem+json": {"schema": schema("ProblemDetails")}});
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({"description": "Done", "content": {"application/json": {"schema": schema(operation.answer)}}}),
    );
    if operation.answer == FIGURES {
        responses["200"]["content"] = json!({FIGURES: {}});
    }
    for status in [401, 403, 500].iter().chain(operation.errors) {
        let title = axum::http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
        responses.insert(status.to_string(), json!({"description": title.unwrap_or("Error"), "content": problem}));
    }
    let mut described = json!({"operationId": id, "summary": operation.summary, "responses": responses});
    if operation.body == COMPONENT {
        described["requestBody"] = json!({"required": true, "content": {COMPONENT: {}}});
    } else if !operation.body.is_empty() {
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema(operation.body)}}});
    }
    match (operation.method, operation.path) {
        ("delete", "/containers/{name_or_id}") => {
            described["parameters"] = json!([{
                "name": "force", "in": "query", "description": "Remove it even if it runs.",
                "schema": {"type": "boolean", "default": false},
            }]);
        }
        (_, "/images/{image}/decisions") => {
            described["parameters"] = json!([{
                "name": "limit", "in": "query", "description": "How many.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
            }, {
                "name": "until", "in": "query",
                "description": "None that was made later, in milliseconds since the Unix epoch.",
                "schema": {"type": "integer", "minimum": 0},
            }]);
        }
        ("get", "/images/{image}/metrics") => {
            described["parameters"] = json!([{
                "name": "since", "in": "query",
                "description": "Since when, in milliseconds since the Unix epoch; an hour ago if absent.",
                "schema": {"type": "integer", "minimum": 0},
            }]);
        }
        (_, "/discovery/prometheus") => {
            described["parameters"] = json!([
                {
                    "name": "workload", "in": "query", "description": "Only of this workload: its image or name.",
                    "schema": {"type": "string"},
                },
                {
                    "name": "port", "in": "query", "description": "Only this port inside the replicas.",
                    "schema": {"type": "integer", "minimum": 1, "maximum": 65535},
                },
                {
                    "name": "ready", "in": "query", "description": "Only replicas that may be sent requests.",
                    "schema": {"type": "boolean", "default": false},
                },
            ]);
        }
        ("put", "/policies/{name}") => {
            described["parameters"] = json!([
                {
                    "name": "memory", "in": "query",
                    "description": "Whether it is handed what the revision before it remembered.",
                    "schema": {"type": "string", "enum": ["keep", "reset"], "default": "keep"},
                },
                {
                    "name": "candidate", "in": "query",
                    "description": "It is only asked beside the acting revision, and promoted later.",
                    "schema": {"type": "boolean", "default": false},
                },
                {"name": "From", "in": "header", "description": "Who pushes it.", "schema": {"type": "string"}},
            ]);
        }
        ("post", "/policies/{name}/promote") => {
            described["parameters"] = json!([{
                "name": "revision", "in": "query", "description": "Which; where it is absent, the candidate.",
                "schema": {"type": "integer", "minimum": 1},
            }]);
        }
        _ => {}
    }
    described
}

fn path_parameters(path: &str) -> Vec<Value> {
    let describe = |name: &str| match name {
        "image" => {
            "Image or name of a workload. Slashes may be written as they are, unless the image's own last part is \
             `containers`, `decisions`, `guardrails`, `health`, `metrics`, `overrides`, `policy`, `reconcile`, `scale` or `shadows`: then as `%2F`."
        }
        "name" => "Name of a policy: 1 to 63 lower-case letters, digits and hyphens.",
        _ => "Name of a container, its identifier, or 12 and more characters the identifier begins with.",
    };
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({
                "name": name, "in": "path", "required": true, "description": describe(name), "schema": {"type": "string"},
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start;

    #[test]
    fn every_shape_that_is_named_is_there() {
        let document = document();
        let mut pending = vec![&document];
        let mut found = 0;
        while let Some(value) = pending.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                        found += 1;
                    }
                    pending.extend(map.values());
                }
                Value::Array(elements) => pending.extend(elements),
                _ => {}
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn the_start_request_is_described_as_it_is_read() {
        let document = document();
        let mut described: Vec<&String> = document["components"]["schemas"]["StartContainerRequest"]["properties"]
            .as_object()
            .map(|properties| properties.keys().collect())
            .unwrap_or_default();
        described.sort();
        let mut read = start::FIELDS.to_vec();
        read.sort_unstable();
        assert_eq!(described, read);
    }
}
