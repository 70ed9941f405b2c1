//! A managed workload has the same resources below `/workloads` and `/images`.

use super::*;
use crate::fixtures::isolated_controller;
use crate::router::WORKLOAD_PATHS;
use serde_json::json;

/// Attempts to read the same state twice: passes may change it in between.
const ATTEMPTS: usize = 50;

async fn answer(api: &axum::Router, method: &str, uri: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let Ok(response) = api.clone().oneshot(request.body(body).expect("a request")).await;
    (response.status().as_u16(), json(response).await)
}

async fn start(api: &axum::Router) {
    let body = json!({
        "image": "ghcr.io/org/app:1", "max_replicas": 4, "metrics": {"queue": {"push": {}}},
        "resources": {"cpu": "0.5", "memory": "64m"},
    });
    let (status, started) = answer(api, "POST", "/start/container", &body).await;
    assert_eq!(status, 200, "{started}");
}

/// Reads a resource below both paths. Returns the answers of one state of it.
async fn read(api: &axum::Router, uris: &[String]) -> Vec<(u16, Value)> {
    for _ in 0..ATTEMPTS {
        let mut answers = Vec::new();
        for uri in uris.iter().chain(&uris[..1]) {
            answers.push(answer(api, "GET", uri, &Value::Null).await);
        }
        if answers.pop().as_ref() == answers.first() {
            return answers;
        }
    }
    panic!("{} does not keep still", uris[0]);
}

/// An answer without the parts that differ between two passes.
fn lasting(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        for name in ["last_pass", "observed", "current", "removed"] {
            if let Some(field) = fields.get_mut(name) {
                *field = json!("differs");
            }
        }
    }
    answer
}

#[tokio::test]
async fn every_resource_of_a_managed_workload_is_the_same_below_both_paths() {
    let api = api_of(isolated_controller(), &ApiSettings::default());
    start(&api).await;
    let requests: [(&str, &str, Value); 16] = [
        ("GET", "", Value::Null),
        ("POST", "/scale", json!({"min_replicas": 1, "max_replicas": 3})),
        ("POST", "/reconcile", Value::Null),
        ("POST", "/rollback", Value::Null),
        ("PUT", "/policy", json!({"mode": "act"})),
        ("GET", "/containers", Value::Null),
        ("GET", "/health", Value::Null),
        ("PUT", "/guardrails", json!({"grace": "0s"})),
        ("PATCH", "/overrides", json!({"paused": true})),
        ("GET", "/metrics", Value::Null),
        ("PUT", "/metrics", json!({"metrics": {"queue": {"push": {}}}})),
        ("POST", "/metrics", json!({"samples": [{"name": "queue", "value": 3}]})),
        ("GET", "/decisions", Value::Null),
        ("GET", "/series", Value::Null),
        ("GET", "/shadows", Value::Null),
        ("DELETE", "", Value::Null),
    ];
    let walked: BTreeSet<(String, String)> =
        requests.iter().map(|(method, resource, _)| ((*method).to_owned(), (*resource).to_owned())).collect();
    for path in WORKLOAD_PATHS {
        let routed = endpoints().into_iter().filter_map(|endpoint| {
            let resource = endpoint.path.strip_prefix(path)?.to_owned();
            Some((endpoint.method.to_string(), resource))
        });
        assert_eq!(routed.collect::<BTreeSet<_>>(), walked, "{path}");
    }
    // Raw and encoded slashes lead to the same workload.
    let paths = ["/workloads/ghcr.io/org/app:1", "/images/ghcr.io/org/app:1", "/workloads/ghcr.io%2Forg%2Fapp:1"];
    for (method, resource, body) in requests {
        let uris: Vec<String> = paths.iter().map(|path| format!("{path}{resource}")).collect();
        let answers = if method == "GET" {
            read(&api, &uris).await
        } else {
            let mut answers = Vec::new();
            for uri in &uris {
                let (status, changed) = answer(&api, method, uri, &body).await;
                if method == "DELETE" {
                    start(&api).await;
                }
                answers.push((status, lasting(changed)));
            }
            answers
        };
        let expected = if resource == "/rollback" { 409 } else { 200 };
        assert_eq!(answers[0].0, expected, "{method} {resource}: {}", answers[0].1);
        for (other, uri) in answers.iter().zip(&uris) {
            assert_eq!(other, &answers[0], "{method} {uri}");
        }
    }
}

#[tokio::test]
async fn an_unknown_workload_is_answered_alike_below_both_paths() {
    let api = api_of(isolated_controller(), &ApiSettings::default());
    for (method, resource) in [("GET", ""), ("GET", "/containers"), ("GET", "/health"), ("POST", "/reconcile")] {
        let [by_name, by_image] = WORKLOAD_PATHS.map(|path| path.replace("{name}", "x").replace("{image}", "x"));
        let by_name = answer(&api, method, &format!("{by_name}{resource}"), &Value::Null).await;
        let by_image = answer(&api, method, &format!("{by_image}{resource}"), &Value::Null).await;
        assert_eq!(by_name, by_image, "{method} {resource}");
    }
}
