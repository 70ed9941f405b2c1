//! Requests that fit the OpenAPI document are never refused for their form.

use super::generator::Generator;
use super::*;
use crate::fixtures::{adopted, compose, controller_with, engine};
use crate::router::document;
use serde_json::json;
use windlass_core::workload::Mode;

/// Requests of each operation, unless the variable REQUESTS has another number. `make requests` sends more.
const REQUESTS: usize = 40;

/// The seed of the requests, unless the variable REQUESTS_SEED has another one.
const SEED: u8 = 7;

/// A number in the environment.
fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`; expected a whole number")))
}

/// The answers that a request may get although it fits: its fields disagree with each other, which a schema cannot
/// express, or with what there is. A part of the field's pointer, and a part of the detail.
const BEYOND_A_SCHEMA: &[(&str, &str)] = &[
    // Two fields that are compared.
    ("/min_replicas", "is above `max_replicas`"),
    ("/timeout", "expected 10 ms up to `interval`"),
    ("/max_age", "expected `interval` up to a day"),
    ("/ports", "is fixed to host port"),
    ("/max_replicas", "is fixed to host port"),
    ("/basic_auth", "the header `authorization` is given too"),
    // Two texts for the same port, and the default of a policy's configuration.
    ("/ports", "given more than once"),
    ("_polic", "is given twice"),
    // Objects that exist.
    ("/metrics", "stands for a stored secret"),
    ("/resources/cpu", "CPUs"),
    ("/depends_on", ""),
    ("_polic", "there is no policy"),
    ("/samples/", "unknown metric that is pushed"),
    ("/value", "negative"),
    // A comparison with the clock.
    ("/at", "ahead of this clock"),
    ("/at", "28 days ago"),
    ("/force/until", "up to 30 days from now"),
    // Two times that are compared, and a step that divides what is between them.
    ("/query/since", "expected a time before"),
    ("/query/step", "a line has at most"),
    // A component, which OpenAPI cannot describe.
    ("", "bytes say nothing"),
    ("", "by far"),
];

/// One request for an operation.
struct Generated {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    content_type: Option<String>,
    body: String,
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn generated(
    generator: &mut Generator<'_>,
    path: &str,
    method: &str,
    item: &Value,
    known: &[(&str, &str)],
) -> Generated {
    let operation = &item[method];
    let mut uri = path.to_owned();
    let mut query = Vec::new();
    let mut headers = Vec::new();
    let parameters = [&item["parameters"], &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
    for parameter in parameters {
        let name = parameter["name"].as_str().expect("a name");
        let value = as_text(&generator.value(&parameter["schema"]));
        match parameter["in"].as_str() {
            Some("path") => {
                let existing: Vec<&str> = known.iter().filter(|(of, _)| *of == name).map(|(_, value)| *value).collect();
                let is_known = !existing.is_empty() && generator.chance();
                let value = if is_known { (*generator.one(&existing)).to_owned() } else { value };
                uri = uri.replace(&format!("{{{name}}}"), &encoded(&value));
            }
            Some("query") if generator.chance() => query.push(format!("{name}={}", encoded(&value))),
            Some("header") if generator.chance() => headers.push((name.to_owned(), value)),
            _ => {}
        }
    }
    if !query.is_empty() {
        uri = format!("{uri}?{}", query.join("&"));
    }
    let (content_type, body) = match operation["requestBody"]["content"]
        .as_object()
        .and_then(|types| types.iter().next())
    {
        None => (None, String::new()),
        Some((content_type, content)) if content["schema"].is_null() => {
            (Some(content_type.clone()), "\0asm".to_owned())
        }
        Some((content_type, content)) => (Some(content_type.clone()), generator.value(&content["schema"]).to_string()),
    };
    Generated { method: method.to_uppercase(), uri, headers, content_type, body }
}

/// Why an answer refuses the form of its request; `None` if it does not.
fn refusal(status: StatusCode, answer: &Value) -> Option<String> {
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        return Some(answer["detail"].to_string());
    }
    if !matches!(status.as_u16(), 400 | 405 | 411..=417 | 422) {
        return None;
    }
    let problems = answer["errors"].as_array().cloned().unwrap_or_else(|| vec![json!({"detail": answer["detail"]})]);
    let is_beyond = |problem: &Value| {
        let (pointer, detail) = (problem["pointer"].as_str().unwrap_or_default(), problem["detail"].as_str());
        let detail = detail.unwrap_or_default();
        BEYOND_A_SCHEMA.iter().any(|(at, why)| pointer.contains(at) && detail.contains(why))
    };
    let refused = problems.iter().filter(|problem| !is_beyond(problem)).map(Value::to_string);
    refused.reduce(|all, next| format!("{all}\n{next}"))
}

/// A Windlass on a simulated engine with a managed workload, which has a container, and an adopted one.
async fn served() -> (roles::Served, String) {
    let adopted = adopted(compose(), Mode::Recommend);
    let controller = controller_with(Arc::new(engine()).into(), &[adopted]);
    let served = roles::served_with(controller, ApiSettings::default());
    let web = json!({
        "image": "nginx", "name": "web", "metrics": {"queue": {"push": {}}}, "max_replicas": 1_000,
        "resources": {"cpu": "1", "memory": "64m"},
    });
    let request = Request::post("/start/container").header("content-type", "application/json");
    let Ok(started) = served.api.clone().oneshot(request.body(Body::from(web.to_string())).expect("a request")).await;
    let started = json(started).await;
    (served, started["name"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_request_that_fits_the_description_is_never_refused_for_its_form() {
    let document = document();
    let (served, container) = served().await;
    let api = &served.api;
    assert!(!container.is_empty());
    let known = [("image", "web"), ("name_or_id", container.as_str()), ("name", "min-max")];
    let known_by_name = [("name", "web"), ("name", "shop-web")];
    let requests = variable("REQUESTS").unwrap_or(REQUESTS);
    let seed = variable("REQUESTS_SEED").unwrap_or(SEED);
    let mut generator = Generator::new(&document, seed);
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("an item").keys().filter(|key| *key != "parameters");
        for method in methods {
            let is_workload = path.starts_with("/workloads/");
            let known = if is_workload { &known_by_name[..] } else { &known[..] };
            // The workload and its container stay until the end.
            let known = if method == "delete" { &[] } else { known };
            // Each operation of a workload has two paths, which share its requests.
            let requests = if is_workload || path.starts_with("/images/") { requests.div_ceil(2) } else { requests };
            let schema = item[method]["requestBody"]["content"]["application/json"]["schema"].clone();
            let whole = json!({"$ref": schema["$ref"], "components": document["components"]});
            let validator = (!schema.is_null()).then(|| jsonschema::validator_for(&whole).expect("a schema"));
            for _ in 0..requests {
                let request = generated(&mut generator, path, method, item, known);
                if let Some(validator) = &validator {
                    let body: Value = serde_json::from_str(&request.body).expect("JSON");
                    let fits = validator.validate(&body).map_err(|error| error.to_string());
                    assert_eq!(fits, Ok(()), "the generator itself: {method} {path} {body}");
                }
                let Generated { method, uri, headers, content_type, body } = request;
                let mut built = Request::builder().method(method.as_str()).uri(&uri);
                for (name, value) in
                    headers.iter().chain(content_type.map(|text| ("content-type".to_owned(), text)).iter())
                {
                    built = built.header(name, value);
                }
                let Ok(response) = api.clone().oneshot(built.body(Body::from(body.clone())).expect("a request")).await;
                let status = response.status();
                *done.entry(format!("{method} {path}")).or_default() += usize::from(status.is_success());
                if status.is_success() {
                    continue;
                }
                let answer = json(response).await;
                if let Some(why) = refusal(status, &answer) {
                    let why: String = why.chars().take(300).collect();
                    refused.entry(format!("{method} {path}: {why}")).or_insert(format!("{status} {uri} {body}"));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{} kinds of refusals with seed {seed}:\n{refused:#?}", refused.len());
    // Requests are carried out, too. The policies of this test do not change, and its workload is not deleted.
    let never: Vec<&str> =
        done.iter().filter(|(_, count)| **count == 0).map(|(operation, _)| operation.as_str()).collect();
    insta::assert_snapshot!(never.join("\n"), @r#"
    DELETE /containers/{name_or_id}
    DELETE /images/{image}
    DELETE /policies/{name}
    DELETE /tokens/{id}
    DELETE /workloads/{name}
    POST /images/{image}/rollback
    POST /login
    POST /policies/{name}/promote
    POST /policies/{name}/refresh
    POST /policies/{name}/rollback
    POST /workloads/{name}/rollback
    PUT /policies/{name}
    "#);
}

/// Requests as people write them, and answers as they are returned.
#[test]
fn what_the_code_accepts_fits_the_description() {
    let document = document();
    let fits = |name: &str, body: &Value| {
        let whole = json!({"$ref": format!("#/components/schemas/{name}"), "components": document["components"]});
        jsonschema::validator_for(&whole).expect("a schema").validate(body).map_err(|error| error.to_string())
    };
    let resources = json!({"cpu": "500m", "memory": "1.5GiB"});
    for part in [
        json!({}),
        json!({"ports": {"80/tcp": 0, "81": "127.0.0.1:8081", "82/udp": ["[::1]:82", 83], "84": "8000-8010"}}),
        json!({"ports": ["127.0.0.1:8080:80/tcp", 81, {"target": 82, "published": "8082", "protocol": "udp"}]}),
        json!({"probe": {"http": {"port": 80, "path": "/up?deep=1", "expect": {"status": ["200-299", 404]}}}}),
        json!({"probe": {"tcp": {"port": 80}, "http": null, "interval": "1m 30s", "timeout": 0.5}}),
        json!({"probe": {"docker": {}}}),
        json!({"stop_hook": {"exec": {"command": ["true"]}, "timeout": "1s 500ms"}}),
        json!({"labels": {"team": "blue", "windlass.scale-in-protection": "true"}, "networks": ["front_1"]}),
        json!({"guardrails": {"grace": "0s", "scale_up": {"rates": [{"count": 2, "per": "1h"}]}}}),
        json!({"metrics": {"queue": {"push": {}, "max_age": "1day"}, "depth": {"json": {"url": "http://h:9/a?b=c", "pointer": ""}}}}),
        json!({"scaling_policy": [{"name": "min-max"}, {"name": "step", "config": {"a": 1}}], "mode": "act"}),
    ] {
        let mut body = json!({"image": "ghcr.io/org/app:1", "name": "web-2", "resources": resources});
        body.as_object_mut().expect("it is one").extend(part.as_object().cloned().unwrap_or_default());
        assert_eq!(fits("StartContainerRequest", &body), Ok(()), "{body}");
        let workload = crate::start::workload(&body).map_err(|problem| problem.detail().to_owned());
        assert!(workload.is_ok(), "{body}: {workload:?}");
    }
    for (part, place) in [
        (json!({"probe": {"tcp": {"port": 80}, "http": {"port": 80}}}), "two kinds"),
        (json!({"probe": {"docker": {}, "interval": "5s"}}), "an interval without effect"),
        (json!({"probe": {"tcp": {"port": 80}, "interval": "61m"}}), "too long"),
        (json!({"labels": {"windlass.slot": "1"}}), "reserved"),
        (json!({"env": {"A=B": "1"}}), "a name with ="),
        (json!({"image": "Nginx"}), "a capital letter"),
        (json!({"ports": ["80:80:80"]}), "no address"),
        (json!({"metrics": {"cpu-utilization": {"push": {}}}}), "built in"),
        (json!({"command": [""]}), "no program"),
    ] {
        let mut body = json!({"image": "nginx", "resources": resources});
        body.as_object_mut().expect("it is one").extend(part.as_object().cloned().unwrap_or_default());
        assert!(fits("StartContainerRequest", &body).is_err(), "{place}: {body}");
        assert!(crate::start::workload(&body).is_err(), "{place}: {body}");
    }
}
