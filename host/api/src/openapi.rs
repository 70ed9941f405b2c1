//! The description of the API: OpenAPI 3.1, at `/openapi.json`, made from the operations.

use crate::access::Need;
use crate::error::ProblemDetails;
use crate::json::shape::Schemas;
use crate::operation::{Description, Operation};
use crate::path::RESOURCES;
use crate::query::NoQuery;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::{PartialSchema, ToSchema};

/// The document, for its handler.
#[derive(Clone)]
pub(crate) struct Document(pub(crate) Arc<Value>);

pub(crate) fn operation() -> Operation {
    Operation::new("Show this description", serve).answer_as("application/json")
}

async fn serve(Extension(Document(document)): Extension<Document>, _: NoQuery) -> Json<Arc<Value>> {
    Json(document)
}

/// The document of these operations. `resources` are the names of the resources of a workload.
pub(crate) fn document(
    operations: impl Iterator<Item = (Method, String, Need, Operation)>,
    resources: &[String],
) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = problem_schemas();
    for (method, path, need, Operation { summary, description, .. }) in operations {
        let mut described = describe(&method, &path, summary, &description);
        state_need(&mut described, need);
        let parameters: Vec<Value> =
            description.path_parameter.iter().map(|parameter| path_parameter(parameter, &path, resources)).collect();
        let item = paths.entry(path).or_insert_with(|| json!({"parameters": parameters}));
        item[method.as_str().to_ascii_lowercase()] = described;
        schemas.extend(description.schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Windlass",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "Keeps the right number of containers running; WebAssembly components decide how many. \
                Durations are text such as `15s`; a number of seconds is accepted, too. Times are RFC 3339; milliseconds \
                since the Unix epoch are accepted, too, and are returned in additional fields that end in `_ms` until \
                the next minor version. Every error is `application/problem+json`.",
        },
        // Without a token in the configuration, the loopback needs none.
        "security": [{"token": []}, {"session": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "windlass_session"},
            },
        },
    })
}

/// Adds the role that an operation needs: in words, and as `x-role`.
fn state_need(described: &mut Value, need: Need) {
    match need {
        Need::Public => {
            described["description"] = json!("Needs no token.");
            described["security"] = json!([]);
        }
        Need::Role(role) => {
            described["description"] = json!(format!("Needs the role `{role}`."));
            described["x-role"] = json!(role);
        }
    }
}

fn problem_schemas() -> Schemas {
    let mut found = vec![("ProblemDetails".to_owned(), ProblemDetails::schema())];
    ProblemDetails::schemas(&mut found);
    found.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

/// The parameter of a path with its name there, and with the names of the resources in place of [`RESOURCES`].
fn path_parameter(parameter: &Value, path: &str, resources: &[String]) -> Value {
    let names: Vec<String> = resources.iter().map(|name| format!("`{name}`")).collect();
    let names = match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    };
    let mut parameter = parameter.clone();
    let meaning = parameter["description"].as_str().unwrap_or_default().replace(RESOURCES, &names);
    parameter["description"] = json!(meaning);
    let name = path.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    parameter["name"] = json!(name.map(|(name, _)| name));
    parameter
}

fn describe(method: &Method, path: &str, summary: &str, description: &Description) -> Value {
    let id: String = format!("{} {path}", method.as_str().to_ascii_lowercase())
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_");
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}});
    let mut responses = Map::new();
    for (status, (meaning, content)) in &description.answers {
        responses.insert(status.to_string(), json!({"description": meaning, "content": content}));
    }
    for status in &description.errors {
        let title = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
        responses.insert(status.to_string(), json!({"description": title.unwrap_or("Error"), "content": problem}));
    }
    let mut described = json!({"operationId": id, "summary": summary, "responses": responses});
    if let Some(content) = &description.body {
        described["requestBody"] = json!({"required": true, "content": content});
    }
    if !description.parameters.is_empty() {
        described["parameters"] = json!(description.parameters);
    }
    described
}

#[cfg(test)]
mod tests {
    use crate::json::object::Object;
    use crate::router::document;
    use crate::start::StartContainerRequest;
    use serde_json::Value;

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
    fn each_operation_has_an_identifier_of_its_own() {
        let document = document();
        let items = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
        let operations = items.filter_map(Value::as_object).flat_map(|item| item.values());
        let mut identifiers: Vec<&str> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
        let count = identifiers.len();
        assert!(count > 40, "{count}");
        identifiers.sort_unstable();
        identifiers.dedup();
        assert_eq!(identifiers.len(), count);
    }

    #[test]
    fn the_parameter_of_a_path_has_its_name_there() {
        let document = document();
        for (path, name) in [("/workloads/{name}/scale", "name"), ("/images/{image}/scale", "image")] {
            let parameter = &document["paths"][path]["parameters"][0];
            assert_eq!(parameter["name"], name);
            assert!(parameter["description"].as_str().is_some_and(|text| text.contains("`scale`")), "{parameter}");
        }
    }

    #[test]
    fn the_start_request_is_described_as_it_is_read() {
        let document = document();
        let properties = &document["components"]["schemas"]["StartContainerRequest"]["properties"];
        let mut described: Vec<&String> = properties
            .as_object()
            .map(|properties| properties.iter().filter(|(_, field)| field["readOnly"] != true).map(|(name, _)| name))
            .into_iter()
            .flatten()
            .collect();
        described.sort();
        let mut read = StartContainerRequest::names();
        read.sort_unstable();
        assert_eq!(described, read);
        for field in properties.as_object().into_iter().flat_map(|properties| properties.values()) {
            assert!(field["description"].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
    }
}
