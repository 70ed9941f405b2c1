//! The whole router, up to the control loop.

mod adopted;
mod audit;
mod bodies;
mod generated;
mod generator;
mod roles;
mod series;
mod sessions;
mod tls;
mod workload_paths;

use crate::fixtures::{controller_and_engine, idle_controller};
use crate::router::endpoints;
use crate::*;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tower::ServiceExt;
use windlass_core::policy::{CatalogueError, ChoiceError, PolicyInfo, Push};
use windlass_core::{PolicyChoice, PolicyKind, Timestamp};
use windlass_discovery::Discovery;

/// One built-in policy that cannot be changed.
struct Shelf;

#[async_trait]
impl PolicyCatalogue for Shelf {
    fn list(&self) -> Vec<PolicyInfo> {
        vec![PolicyInfo {
            name: "min-max".into(),
            kind: PolicyKind::Scaling,
            version: "1.0.0".into(),
            summary: "keeps the count within bounds".into(),
            config_schema: serde_json::json!({"type": "object"}),
            digest: "sha256:00".into(),
            size_bytes: 12,
            source: None,
            taken: None,
            replayable: true,
            http: None,
            imports: vec![],
            failures: BTreeMap::new(),
            acting: Some(0),
            candidate: None,
            revisions: vec![],
            events: vec![],
            failing: Vec::new(),
            source_problem: None,
        }]
    }

    fn find(&self, name: &str) -> Option<PolicyInfo> {
        self.list().into_iter().find(|policy| policy.name == name)
    }

    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError> {
        Err(CatalogueError::Component(vec![format!("{} bytes say nothing", push.component.len()), "by far".into()]))
    }

    fn source_problems(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("queue".to_owned(), "cannot fetch `oci://registry.example/queue:1`: no answer".to_owned())])
    }

    fn tell_source(&self, _: &str, _: Option<String>) {}

    async fn refresh(&self, name: &str, _: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        Err(CatalogueError::Unknown(name.to_owned()))
    }

    async fn remove(&self, name: &str) -> Result<PolicyInfo, CatalogueError> {
        Err(CatalogueError::Unknown(name.to_owned()))
    }

    async fn promote(&self, name: &str, _: Option<u32>, _: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        Err(CatalogueError::Unknown(name.to_owned()))
    }

    async fn roll_back(&self, name: &str, _: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        Err(CatalogueError::Unknown(name.to_owned()))
    }

    async fn check(&self, _: PolicyKind, _: &PolicyChoice, _: Timestamp) -> Result<(), ChoiceError> {
        Ok(())
    }
}

fn api(settings: &ApiSettings) -> axum::Router {
    api_of(idle_controller(), settings)
}

pub(crate) fn api_of(controller: Controller, settings: &ApiSettings) -> axum::Router {
    server::bounded(router(state_of(controller, settings)), settings)
}

/// The state of handlers with one built-in policy.
pub(crate) fn state_of(controller: Controller, settings: &ApiSettings) -> ApiState {
    let discovery = Discovery::new(controller.clone(), None);
    ApiState::new(controller, Arc::new(Shelf), discovery, Arc::new(settings.clone()))
}

async fn send(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let Ok(response) = api(&ApiSettings::default()).oneshot(request).await;
    response
}

pub(crate) async fn json(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The status and the detail of a problem, after its form was checked.
async fn problem(method: &str, uri: &str, body: &str) -> String {
    let response = send(method, uri, &[("content-type", "application/json")], body).await;
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {uri}");
    let value = json(response).await;
    assert_eq!(value["type"], "about:blank");
    assert_eq!(value["status"], status.as_u16());
    assert_eq!(value["title"], status.canonical_reason().unwrap_or_default());
    assert_eq!(value["errors"].is_array(), status == StatusCode::UNPROCESSABLE_ENTITY);
    format!("{} {}", status.as_u16(), value["detail"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn what_needs_no_control_loop_is_answered() {
    let response = send("GET", "/health", &[], "").await;
    assert_eq!(response.status(), StatusCode::OK);
    insta::assert_json_snapshot!(json(response).await, @r#"
    {
      "ok": true
    }
    "#);

    let response = send("GET", "/policies", &[], "").await;
    assert_eq!(response.status(), StatusCode::OK);
    insta::assert_json_snapshot!(json(response).await, @r#"
    {
      "policies": [
        {
          "acting": 0,
          "candidate": null,
          "config_schema": {
            "type": "object"
          },
          "digest": "sha256:00",
          "failures": {},
          "imports": [],
          "kind": "scaling",
          "name": "min-max",
          "replayable": true,
          "size_bytes": 12,
          "source": "built-in",
          "summary": "keeps the count within bounds",
          "version": "1.0.0"
        }
      ],
      "source_problems": {
        "queue": "cannot fetch `oci://registry.example/queue:1`: no answer"
      }
    }
    "#);
}

#[tokio::test]
async fn a_policy_whose_source_fails_is_shown_with_the_reason() {
    let response = send("GET", "/policies/queue", &[], "").await;
    assert_eq!(response.status(), StatusCode::OK);
    insta::assert_json_snapshot!(json(response).await, @r#"
    {
      "acting": null,
      "candidate": null,
      "config_schema": {},
      "digest": "",
      "events": [],
      "failing": [],
      "failures": {},
      "http": null,
      "imports": [],
      "kind": null,
      "name": "queue",
      "replayable": true,
      "revisions": [],
      "size_bytes": 0,
      "source": null,
      "source_problem": "cannot fetch `oci://registry.example/queue:1`: no answer",
      "summary": "",
      "version": ""
    }
    "#);
    let unknown = problem("GET", "/policies/another", "").await;
    assert!(unknown.starts_with("404 "), "{unknown}");
}

#[tokio::test]
async fn every_error_is_a_problem_that_says_what_to_do() {
    let mut said = vec![];
    for (method, uri, body) in [
        ("GET", "/nowhere", ""),
        ("GET", "/images/nginx/", ""),
        ("GET", "/images//scale", ""),
        ("PUT", "/workloads", ""),
        ("DELETE", "/workloads/ghcr.io/org/app/health", ""),
        ("PUT", "/images", ""),
        ("DELETE", "/images/ghcr.io/org/app/health", ""),
        ("GET", "/images/%FF/health", ""),
        ("GET", "/health?verbose=1", ""),
        ("GET", "/images/nginx/decisions?limit=0", ""),
        ("GET", "/images/nginx/decisions?limi=3", ""),
        ("GET", "/images/nginx/decisions?until=noon", ""),
        ("DELETE", "/containers/x?force=perhaps", ""),
        ("PATCH", "/containers/x", "{\"status\":\"dead\"}"),
        ("POST", "/start/container", ""),
        ("POST", "/start/container", "{\"image\":"),
        ("POST", "/start/container", "[1]"),
        ("POST", "/start/container", "{\"image\": \"nginx\", \"resource\": {}}"),
    ] {
        said.push(format!("{method} {uri} {body}\n  {}", problem(method, uri, body).await));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    GET /nowhere 
      404 there is no resource at `/nowhere`; `/docs` lists every resource
    GET /images/nginx/ 
      404 there is no resource at `/images/nginx/`; `/docs` lists every resource
    GET /images//scale 
      405 method GET is not allowed here; the header `allow` lists the allowed ones
    PUT /workloads 
      405 method PUT is not allowed here; the header `allow` lists the allowed ones
    DELETE /workloads/ghcr.io/org/app/health 
      405 method DELETE is not allowed here; the header `allow` lists the allowed ones
    PUT /images 
      405 method PUT is not allowed here; the header `allow` lists the allowed ones
    DELETE /images/ghcr.io/org/app/health 
      405 method DELETE is not allowed here; the header `allow` lists the allowed ones
    GET /images/%FF/health 
      400 the decoded path is not UTF-8
    GET /health?verbose=1 
      422 /query/verbose: unknown query parameter; none is expected here
    GET /images/nginx/decisions?limit=0 
      422 /query/limit: expected a whole number from 1 to 1000
    GET /images/nginx/decisions?limi=3 
      422 /query/limi: unknown query parameter; did you mean `limit`?
    GET /images/nginx/decisions?until=noon 
      422 /query/until: expected a time such as `2026-01-01T12:00:00Z`, or milliseconds since the Unix epoch
    DELETE /containers/x?force=perhaps 
      422 /query/force: expected `true` or `false`
    PATCH /containers/x {"status":"dead"}
      422 /status: expected `running` or `stopped`, found `"dead"`
    POST /start/container 
      422 the body is empty; expected a JSON object
    POST /start/container {"image":
      422 the body is not JSON: EOF while parsing a value at line 1 column 9
    POST /start/container [1]
      422 expected an object, found a list
    POST /start/container {"image": "nginx", "resource": {}}
      422 /resource: unknown field; did you mean `resources`?; /resources: this field is required
    "#);
}

#[tokio::test]
async fn the_methods_that_would_be_right_are_told() {
    let response = send("PUT", "/containers/x", &[], "").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "PATCH,DELETE");
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    for headers in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
    {
        let response = send("POST", "/start/container", headers, "{}").await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_whether_it_says_so_or_not() {
    let settings = ApiSettings { body_bytes: 64, ..ApiSettings::default() };
    let long = "x".repeat(65);
    let unsized_body = Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(long.clone())]));
    for body in [Body::from(long), unsized_body] {
        let request = Request::post("/start/container").header("content-type", "application/json").body(body);
        let Ok(response) = api(&settings).oneshot(request.expect("a request")).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_pull_ends_with_the_caller_that_waits_for_it() {
    let (controller, engine) = controller_and_engine();
    let mut pulls = engine.hang_pulls();
    let api = api_of(controller.clone(), &ApiSettings::default());
    let body = r#"{"image": "web:1", "resources": {"cpu": "0.5", "memory": "64m"}}"#;
    let request = Request::post("/start/container?pull=true").header("content-type", "application/json");
    let request = request.body(Body::from(body)).expect("a request");
    let caller = tokio::spawn(async move { api.oneshot(request).await.map(drop) });
    let mut reaches = async |count: usize| {
        let reached = pulls.wait_for(|pulls| *pulls == count);
        let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), reached).await;
        assert!(in_time.is_ok(), "{count} pulls");
    };
    reaches(1).await;
    // The caller hangs up.
    caller.abort();
    reaches(0).await;
    assert!(controller.views().is_empty(), "nothing was stored");
}

#[tokio::test]
async fn the_network_of_the_host_is_refused_unless_the_configuration_allows_it() {
    for networks in [r#"["host"]"#, r#"["front", "host"]"#] {
        let body =
            format!(r#"{{"image": "web:1", "networks": {networks}, "resources": {{"cpu": "0.5", "memory": "64m"}}}}"#);
        let refused = problem("POST", "/start/container", &body).await;
        assert!(refused.starts_with("422 /networks: ") && refused.contains("engine.host_network"), "{refused}");
    }
    // Nothing else of the host can be requested at all.
    let refused = problem(
        "POST",
        "/start/container",
        r#"{"image": "web:1", "privileged": true, "mounts": [], "networks": ["container:x"]}"#,
    )
    .await;
    for part in ["/privileged: unknown field", "/mounts: unknown field", "/networks/0: expected the name of a network"]
    {
        assert!(refused.contains(part), "{refused}");
    }
}

/// Pushes a component from an address, and returns the status of the answer.
async fn pushed(api: axum::Router, from: &str, body: Body) -> StatusCode {
    let request = Request::put("/policies/queue").header("content-type", "application/wasm").body(body);
    let mut request = request.expect("a request");
    request.extensions_mut().insert(limits::Peer::of(from.parse().expect("an address")));
    let Ok(response) = api.oneshot(request).await;
    response.status()
}

#[tokio::test]
async fn slow_uploads_of_one_peer_do_not_keep_the_others_from_pushing() {
    let api = api(&ApiSettings::default());
    let read = Arc::new(Semaphore::new(0));
    let slow = (0..UPLOADS).map(|_| {
        let read = read.clone();
        let body = futures_util::stream::poll_fn(move |_| {
            read.add_permits(1);
            std::task::Poll::<Option<std::io::Result<bytes::Bytes>>>::Pending
        });
        tokio::spawn(pushed(api.clone(), "127.0.0.2", Body::from_stream(body)))
    });
    let slow: Vec<_> = slow.collect();
    // Each is read once, since nothing wakes it.
    let all_are_read = read.acquire_many(u32::try_from(UPLOADS).expect("a few"));
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), all_are_read).await;
    assert!(in_time.is_ok());
    assert_eq!(pushed(api.clone(), "127.0.0.2", Body::from("x")).await, StatusCode::SERVICE_UNAVAILABLE);
    // The catalogue of this test rejects every component.
    assert_eq!(pushed(api.clone(), "127.0.0.1", Body::from("x")).await, StatusCode::UNPROCESSABLE_ENTITY);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn strangers_are_told_how_to_come_in_and_nothing_else() {
    let settings = ApiSettings { token: Some("0123456789abcdef".into()), ..ApiSettings::default() };
    for uri in ["/images", "/nowhere", "/images/ghcr.io/a/b", "/policies"] {
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let Ok(response) = api(&settings).oneshot(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{uri}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"windlass\"");
    }
    let request = Request::get("/policies").header("authorization", "Bearer 0123456789abcdef");
    let Ok(response) = api(&settings).oneshot(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_page_is_served_from_the_binary_alone() {
    let response = send("GET", "/docs", &[], "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let mut page = String::new();
    for uri in ["/docs/", "/docs/swagger-initializer.js"] {
        let response = send("GET", uri, &[], "").await;
        assert_eq!(response.status(), StatusCode::OK);
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        page.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    assert!(page.contains("/openapi.json"), "{page}");
}

/// The paths and methods in the source of the router.
fn routed() -> BTreeSet<(String, String)> {
    // Each resource of a workload is there below both paths.
    let places = [("on(Method::", &[""][..]), ("below(Method::", &crate::router::WORKLOAD_PATHS)];
    let lines = include_str!("router.rs").lines().map(str::trim);
    let routed = lines.flat_map(|line| {
        places.iter().flat_map(move |(begin, paths)| {
            let rest = line.strip_prefix(begin).and_then(|rest| rest.split_once(", \""));
            let part = rest.and_then(|(method, rest)| Some((method.to_lowercase(), rest.split_once('"')?.0)));
            part.into_iter()
                .flat_map(|(method, end)| paths.iter().map(move |path| (format!("{path}{end}"), method.clone())))
        })
    });
    routed.collect()
}

#[tokio::test]
async fn the_description_and_the_router_agree() {
    let document = json(send("GET", "/openapi.json", &[], "").await).await;
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> =
        (endpoints().iter()).map(|endpoint| (endpoint.path.clone(), endpoint.method.as_str().to_lowercase())).collect();
    assert_eq!(described, routed());
    let listing: Vec<String> = described.iter().map(|(path, method)| format!("{method} {path}")).collect();
    insta::assert_snapshot!(listing.join("\n"), @r#"
    get /audit
    get /containers
    delete /containers/{name_or_id}
    patch /containers/{name_or_id}
    get /containers/{name_or_id}/logs
    get /decisions/{id}
    get /discovery/prometheus
    get /events
    get /health
    get /images
    delete /images/{image}
    get /images/{image}
    get /images/{image}/containers
    get /images/{image}/decisions
    put /images/{image}/guardrails
    get /images/{image}/health
    get /images/{image}/metrics
    post /images/{image}/metrics
    put /images/{image}/metrics
    patch /images/{image}/overrides
    put /images/{image}/policy
    post /images/{image}/reconcile
    post /images/{image}/rollback
    post /images/{image}/scale
    get /images/{image}/series
    get /images/{image}/shadows
    post /login
    post /logout
    get /metrics
    get /openapi.json
    get /policies
    delete /policies/{name}
    get /policies/{name}
    put /policies/{name}
    post /policies/{name}/promote
    post /policies/{name}/refresh
    post /policies/{name}/rollback
    get /ready
    post /start/container
    get /tokens
    post /tokens
    delete /tokens/{id}
    get /workloads
    delete /workloads/{name}
    get /workloads/{name}
    get /workloads/{name}/containers
    get /workloads/{name}/decisions
    put /workloads/{name}/guardrails
    get /workloads/{name}/health
    get /workloads/{name}/metrics
    post /workloads/{name}/metrics
    put /workloads/{name}/metrics
    patch /workloads/{name}/overrides
    put /workloads/{name}/policy
    post /workloads/{name}/reconcile
    post /workloads/{name}/rollback
    post /workloads/{name}/scale
    get /workloads/{name}/series
    get /workloads/{name}/shadows
    "#);
    for (path, method) in &described {
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
        // A rejected query shows that the route exists: neither 404 nor 405.
        let uri = path
            .replace("{image}", "ghcr.io/org/app:1")
            .replace("{name_or_id}", "x")
            .replace("{name}", "x")
            .replace("{id}", "1");
        let refused = problem(&method.to_uppercase(), &format!("{uri}?nonsense"), "{}").await;
        assert!(refused.starts_with("422 /query/nonsense"), "{method} {path}: {refused}");
    }
}
