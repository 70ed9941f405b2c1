//! Sessions of browsers, from the log-in to their end.

use super::roles::{CONFIGURED, Served, served};
use super::*;
use crate::access::rules::{Concerns, Need, Pages};
use axum::http::Method;
use axum::http::request::Builder;
use axum::routing::post;
use serde_json::json;
use windlass_control::events::EventKind;
use windlass_core::access::Role;

/// A browser: it keeps one cookie.
struct Browser<'a> {
    api: &'a axum::Router,
    cookie: Option<String>,
    csrf: String,
}

impl<'a> Browser<'a> {
    fn new(api: &'a axum::Router) -> Self {
        Self { api, cookie: None, csrf: String::new() }
    }

    fn request(&self, method: &str, uri: &str) -> Builder {
        let request = Request::builder().method(method).uri(uri).header("host", "windlass.example");
        self.cookie.iter().fold(request, |request, cookie| request.header("cookie", cookie))
    }

    async fn send(&self, request: Builder, body: &str) -> Response<Body> {
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let Ok(response) = self.api.clone().oneshot(request).await;
        response
    }

    async fn log_in(&mut self, token: &str) -> (u16, Value) {
        let request = self.request("POST", "/login").header("content-type", "application/json");
        let response = self.send(request, &json!({"token": token}).to_string()).await;
        let status = response.status().as_u16();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().unwrap_or_default();
            self.cookie = Some(pair.to_owned());
        }
        let answer = json(response).await;
        self.csrf = answer["csrf"].as_str().unwrap_or_default().to_owned();
        (status, answer)
    }

    async fn status(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let request =
            headers.iter().fold(self.request(method, uri), |request, (name, value)| request.header(*name, *value));
        self.send(request, "").await.status().as_u16()
    }
}

async fn token(served: &Served, role: &str) -> (String, String) {
    let body = json!({"name": role, "role": role});
    let (_, created) = served.send("POST", "/tokens", Some(CONFIGURED), &body).await;
    let text = |name: &str| created[name].as_str().expect("text").to_owned();
    (text("token"), text("id"))
}

#[tokio::test]
async fn a_session_has_the_rights_of_its_token_and_changes_with_its_csrf_token_only() {
    let served = served();
    let (operator, id) = token(&served, "operator").await;
    let mut browser = Browser::new(&served.api);
    assert_eq!(browser.status("GET", "/workloads", &[]).await, 401);
    let (status, answer) = browser.log_in(&operator).await;
    assert!(status == 200 && answer["role"] == "operator" && answer["csrf"] == browser.csrf, "{answer}");
    assert_eq!(browser.status("GET", "/workloads", &[]).await, 200);
    assert_eq!(browser.status("GET", "/tokens", &[]).await, 403, "an operator");
    let change = "/workloads/x/reconcile";
    let csrf = browser.csrf.clone();
    let own = ("x-csrf-token", csrf.as_str());
    assert_eq!(browser.status("POST", change, &[]).await, 403);
    assert_eq!(browser.status("POST", change, &[("x-csrf-token", "wrong")]).await, 403);
    assert_eq!(browser.status("POST", change, &[own]).await, 404, "there is no such workload");
    // Another page that knows the token all the same.
    for foreign in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(browser.status("POST", change, &[own, foreign]).await, 403, "{foreign:?}");
    }
    let same = [own, ("origin", "http://windlass.example"), ("sec-fetch-site", "same-origin")];
    assert_eq!(browser.status("POST", change, &same).await, 404);

    // A log-in replaces the session: its cookie is another one, and the old one is of no use.
    let before = Browser { api: &served.api, cookie: browser.cookie.clone(), csrf: String::new() };
    browser.log_in(&operator).await;
    assert!(browser.cookie != before.cookie && browser.csrf != csrf);
    assert_eq!(before.status("GET", "/workloads", &[]).await, 401);
    assert_eq!(browser.status("GET", "/workloads", &[]).await, 200);
    // A log-out ends it, and a revoked token ends its sessions.
    let csrf = browser.csrf.clone();
    assert_eq!(browser.status("POST", "/logout", &[]).await, 403);
    assert_eq!(browser.status("POST", "/logout", &[("x-csrf-token", &csrf)]).await, 200);
    assert_eq!(browser.status("GET", "/workloads", &[]).await, 401);
    browser.log_in(&operator).await;
    served.send("DELETE", &format!("/tokens/{id}"), Some(CONFIGURED), &Value::Null).await;
    assert_eq!(browser.status("GET", "/workloads", &[]).await, 401);
    // The token of the configuration logs in, too.
    assert_eq!(browser.log_in(CONFIGURED).await.1["role"], "admin");
    assert_eq!(browser.status("GET", "/tokens", &[]).await, 200);
}

#[tokio::test]
async fn failed_log_ins_of_an_address_are_limited() {
    let served = served();
    let mut browser = Browser::new(&served.api);
    let wrong = format!("wl_0a1b2c3d4e5f_{}", "0".repeat(64));
    for attempt in 0..10 {
        let token = if attempt % 2 == 0 { "wrong" } else { &wrong };
        assert_eq!(browser.log_in(token).await.0, 401, "{attempt}");
        assert!(browser.cookie.is_none());
    }
    let request = browser.request("POST", "/login").header("content-type", "application/json");
    let response = browser.send(request, &json!({"token": CONFIGURED}).to_string()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=300).contains(&wait), "{wait}");
    // Another address is not affected, and a page of another origin logs nobody in.
    let mut request = Request::post("/login").header("content-type", "application/json").header("host", "a");
    let body = || Body::from(json!({"token": CONFIGURED}).to_string());
    let mut other = request.body(body()).expect("a request");
    other.extensions_mut().insert(limits::Peer::of("10.0.0.9".parse().expect("an address")));
    let Ok(response) = served.api.clone().oneshot(other).await;
    assert_eq!(response.status(), StatusCode::OK);
    request = Request::post("/login").header("content-type", "application/json").header("host", "a");
    let mut foreign = request.header("origin", "http://b").body(body()).expect("a request");
    foreign.extensions_mut().insert(limits::Peer::of("10.0.0.9".parse().expect("an address")));
    let Ok(response) = served.api.clone().oneshot(foreign).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_of_a_page_carries_the_csrf_token_in_a_field() {
    let served = served();
    let (operator, _) = token(&served, "operator").await;
    let handler = post(|body: String| async move { body });
    let need = Need::Role(Role::Operator);
    let pages = Pages::default().on(Method::POST, "/ui/pause", need, Concerns::Checked, handler);
    let api = server::bounded(router_with(served.state.clone(), pages), &served.state.settings);
    let mut browser = Browser::new(&api);
    browser.log_in(&operator).await;
    let form = async |body: &str| {
        let request = browser.request("POST", "/ui/pause").header("content-type", "application/x-www-form-urlencoded");
        browser.send(request, body).await
    };
    for wrong in ["", "csrf=", "csrf=wrong", "a=csrf"] {
        assert_eq!(form(wrong).await.status(), StatusCode::FORBIDDEN, "{wrong}");
    }
    let body = format!("a=1&csrf={}", browser.csrf);
    let response = form(&body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(bytes, body.as_bytes(), "the handler has the whole form");
    // A page without a rule answers nobody.
    assert_eq!(browser.status("GET", "/ui/pause", &[]).await, 405);
    let (viewer, _) = token(&served, "viewer").await;
    browser.log_in(&viewer).await;
    let csrf = browser.csrf.clone();
    assert_eq!(browser.status("POST", "/ui/pause", &[("x-csrf-token", &csrf)]).await, 403);
}

/// The body of a stream of events, which has begun.
async fn stream(api: &axum::Router, request: Builder) -> Body {
    let Ok(response) = api.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let begin = body.frame().await.expect("a piece").expect("no error");
    let begin = begin.into_data().expect("data");
    assert!(String::from_utf8_lossy(&begin).contains("the events of Windlass"), "{begin:?}");
    body
}

#[tokio::test]
async fn a_stream_ends_with_the_rights_of_its_reader() {
    let bound = std::time::Duration::from_secs(10);
    let served = served();
    let (first, first_id) = token(&served, "viewer").await;
    let (second, _) = token(&served, "operator").await;
    let with = |token: &str| Request::builder().uri("/events").header("authorization", format!("Bearer {token}"));
    let (revoked, kept) = (stream(&served.api, with(&first)).await, stream(&served.api, with(&second)).await);
    let mut browser = Browser::new(&served.api);
    browser.log_in(&second).await;
    let of_session = stream(&served.api, browser.request("GET", "/events")).await;

    served.send("DELETE", &format!("/tokens/{first_id}"), Some(CONFIGURED), &Value::Null).await;
    tokio::time::timeout(bound, revoked.collect()).await.expect("it ends").expect("no error");
    let csrf = browser.csrf.clone();
    assert_eq!(browser.status("POST", "/logout", &[("x-csrf-token", &csrf)]).await, 200);
    tokio::time::timeout(bound, of_session.collect()).await.expect("it ends").expect("no error");
    // The other reader of the same token goes on.
    let mut kept = kept;
    let key = windlass_core::WorkloadKey::stored("web");
    served.state.controller.events().publish(EventKind::Alert, Some(&key), "too busy", &json!({}));
    loop {
        let piece = tokio::time::timeout(bound, kept.frame()).await.expect("in time").expect("it goes on");
        let data = piece.expect("no error").into_data().expect("data");
        if String::from_utf8_lossy(&data).contains("too busy") {
            return;
        }
    }
}
