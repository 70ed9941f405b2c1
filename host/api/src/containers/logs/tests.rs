//! The endpoint on the simulated engine: both forms, its limits, and containers that are not there.

use crate::fixtures::isolated_controller;
use crate::tests::{api_of, json};
use crate::*;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn get(api: &Router, uri: &str, accept: &str) -> Response<Body> {
    let request = Request::get(uri).header("accept", accept).body(Body::empty()).expect("a request");
    let Ok(response) = api.clone().oneshot(request).await;
    response
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// An API with one container, and the path of its log.
async fn served() -> (Router, String) {
    let api = api_of(isolated_controller(), &ApiSettings::default());
    let body = json!({"image": "nginx", "resources": {"cpu": "1", "memory": "64m"}}).to_string();
    let request = Request::post("/start/container").header("content-type", "application/json").body(Body::from(body));
    let Ok(started) = api.clone().oneshot(request.expect("a request")).await;
    let name = json(started).await["name"].as_str().expect("a name").to_owned();
    (api, format!("/containers/{name}/logs"))
}

#[tokio::test]
async fn lines_are_text_or_json() {
    let (api, path) = served().await;
    let name = path.split('/').nth(2).expect("a name");
    let response = get(&api, &format!("{path}?tail=2"), "*/*").await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text(response).await, format!("{name}: line 4\n{name}: line 5\n"));
    let response = get(&api, &format!("{path}?tail=1"), "text/html, application/x-ndjson;q=0.9").await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let line: Value = serde_json::from_str(&text(response).await).expect("one line of JSON");
    assert_eq!((&line["stream"], &line["text"]), (&json!("stderr"), &json!(format!("{name}: line 5"))));
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    assert_eq!(text(get(&api, &format!("{path}?since=2100-01-01T00:00:00Z"), "*/*").await).await, "");
    for (query, detail) in [
        ("?tail=-1", "/query/tail: expected a whole number from 0 to 100000"),
        ("?tail=all", "/query/tail: expected a whole number from 0 to 100000"),
        ("?follow=maybe", "/query/follow: expected `true` or `false`"),
        ("?lines=1", "/query/lines: unknown query parameter; expected `tail`, `since`, `follow`"),
    ] {
        let refused = json(get(&api, &format!("{path}{query}"), "*/*").await).await;
        assert_eq!((&refused["status"], &refused["detail"]), (&json!(422), &json!(detail)));
    }
    assert_eq!(get(&api, "/containers/nobody/logs", "*/*").await.status(), 404);
}

#[tokio::test]
async fn a_followed_log_goes_on_until_its_caller_leaves() {
    let (api, path) = served().await;
    let follow = format!("{path}?tail=0&follow=true");
    let mut open = Vec::new();
    for _ in 0..LOG_STREAMS_TO_PEER {
        open.push(get(&api, &follow, "*/*").await.into_body());
    }
    let refused = json(get(&api, &follow, "*/*").await).await;
    assert_eq!(refused["detail"], json!("too many log streams to this address are open; close one"));
    let piece = open[0].frame().await.expect("a line").expect("no error").into_data().expect("data");
    assert!(piece.ends_with(b": line 6\n"), "{piece:?}");
    open.pop();
    assert_eq!(get(&api, &follow, "*/*").await.status(), 200);
}
