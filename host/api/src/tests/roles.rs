//! Every endpoint with every kind of caller: no token, a wrong one, an expired one, a revoked one, each role, each scope.

use super::*;
use crate::access::Access;
use crate::access::rules::{Concerns, Need};
use crate::access::token_text::NewText;
use crate::fixtures::isolated_controller;
use serde_json::json;
use std::time::Duration;
use windlass_core::access::{AccessStore, Role, TokenRecord};
use windlass_storage::SqliteStore;

pub(super) const CONFIGURED: &str = "0123456789abcdef";

/// A time of the test's clock.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// A Windlass with a token in its configuration, and tokens in its store.
pub(super) struct Served {
    pub(super) api: axum::Router,
    pub(super) state: ApiState,
    store: Arc<SqliteStore>,
    _directory: tempfile::TempDir,
}

pub(super) fn served_with(controller: Controller, settings: ApiSettings) -> Served {
    let settings = Arc::new(settings);
    let directory = tempfile::tempdir().expect("a folder");
    let store = Arc::new(SqliteStore::open(&directory.path().join("data"), 10).expect("a store"));
    let discovery = Discovery::new(controller.clone(), None);
    let state = ApiState::new(controller, Arc::new(Shelf), discovery, Arc::clone(&settings));
    let state = state.with_tokens(Arc::<SqliteStore>::clone(&store)).expect("the store is read");
    let api = server::bounded(router(state.clone()), &settings);
    Served { api, state, store, _directory: directory }
}

pub(super) fn served() -> Served {
    served_with(isolated_controller(), ApiSettings { token: Some(CONFIGURED.to_owned()), ..ApiSettings::default() })
}

impl Served {
    /// Stores a token directly, and returns its text.
    fn store(&self, role: Role, workloads: &[&str], expires_at: Option<Timestamp>) -> String {
        let NewText { id, hash, text } = NewText::random().expect("random bytes");
        let record = TokenRecord {
            id,
            hash,
            name: role.to_string(),
            role,
            workloads: workloads.iter().map(|glob| (*glob).to_owned()).collect(),
            created_at: NOW,
            created_by: "test".to_owned(),
            expires_at,
            last_used_at: None,
        };
        self.store.add_token(&record).expect("stored");
        text
    }

    /// The same after a restart, which reads the tokens of the store. `now` is its clock.
    fn restarted(mut self, now: Timestamp) -> Self {
        let access = Access::new(Arc::clone(&self.state.settings), Role::Admin, move || now);
        let store: Arc<dyn AccessStore> = Arc::<SqliteStore>::clone(&self.store);
        self.state.access = Arc::new(access.with_store(store).expect("the store is read"));
        self.api = server::bounded(router(self.state.clone()), &self.state.settings);
        self
    }

    pub(super) async fn send(&self, method: &str, uri: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let Ok(response) = self.api.clone().oneshot(request.body(body).expect("a request")).await;
        let status = response.status().as_u16();
        if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            // It has no end.
            return (status, Value::Null);
        }
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Starts a workload with one container. Returns the container's name.
    async fn start(&self, name: &str) -> String {
        // The simulated engine names containers by their image.
        let image = format!("{name}:1");
        let body = json!({"image": image, "name": name, "resources": {"cpu": "0.5", "memory": "64m"}});
        let (status, started) = self.send("POST", "/start/container", Some(CONFIGURED), &body).await;
        assert_eq!(status, 200, "{started}");
        started["name"].as_str().expect("a name").to_owned()
    }
}

/// The path of an endpoint with a name in place of its parameter.
pub(super) fn path_with(path: &str, name: &str) -> String {
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (_, after) = rest.split_once('}').expect("a parameter");
    format!("{before}{name}{after}")
}

#[test]
fn the_table_of_roles_is_as_it_is_documented() {
    let lines = endpoints().into_iter().filter(|endpoint| !endpoint.path.starts_with("/images/{"));
    let lines = lines.map(|endpoint| {
        let need = match endpoint.need {
            Need::Public => "everybody".to_owned(),
            Need::Role(role) => role.to_string(),
        };
        format!("{need:9} {:10} {} {}", format!("{:?}", endpoint.concerns), endpoint.method, endpoint.path)
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    admin     Checked    POST /start/container
    admin     Container  DELETE /containers/{name_or_id}
    admin     Everything DELETE /policies/{name}
    admin     Everything DELETE /tokens/{id}
    admin     Everything GET /audit
    admin     Everything GET /tokens
    admin     Everything POST /policies/{name}/refresh
    admin     Everything POST /tokens
    admin     Everything PUT /policies/{name}
    admin     Workload   DELETE /workloads/{name}
    admin     Workload   PUT /workloads/{name}/guardrails
    admin     Workload   PUT /workloads/{name}/metrics
    admin     Workload   PUT /workloads/{name}/policy
    everybody Checked    GET /health
    everybody Checked    GET /openapi.json
    everybody Checked    GET /ready
    everybody Checked    POST /login
    operator  Container  PATCH /containers/{name_or_id}
    operator  Everything POST /policies/{name}/promote
    operator  Everything POST /policies/{name}/rollback
    operator  Workload   PATCH /workloads/{name}/overrides
    operator  Workload   POST /workloads/{name}/metrics
    operator  Workload   POST /workloads/{name}/reconcile
    operator  Workload   POST /workloads/{name}/rollback
    operator  Workload   POST /workloads/{name}/scale
    viewer    Checked    GET /containers
    viewer    Checked    GET /decisions/{id}
    viewer    Checked    GET /discovery/prometheus
    viewer    Checked    GET /events
    viewer    Checked    GET /images
    viewer    Checked    GET /metrics
    viewer    Checked    GET /policies
    viewer    Checked    GET /policies/{name}
    viewer    Checked    GET /workloads
    viewer    Checked    POST /logout
    viewer    Container  GET /containers/{name_or_id}/logs
    viewer    Workload   GET /workloads/{name}
    viewer    Workload   GET /workloads/{name}/containers
    viewer    Workload   GET /workloads/{name}/decisions
    viewer    Workload   GET /workloads/{name}/health
    viewer    Workload   GET /workloads/{name}/metrics
    viewer    Workload   GET /workloads/{name}/series
    viewer    Workload   GET /workloads/{name}/shadows
    "#);
    // Both paths of a workload have the same rules.
    let rules = |beginning: &str| -> Vec<(String, String, Need, Concerns)> {
        let found = endpoints().into_iter().filter(|endpoint| endpoint.path.starts_with(beginning));
        let rest = |path: &str| path.split_once('}').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        found.map(|it| (it.method.to_string(), rest(&it.path), it.need, it.concerns)).collect()
    };
    assert_eq!(rules("/workloads/{"), rules("/images/{"));
}

#[tokio::test]
async fn every_endpoint_answers_exactly_the_callers_of_its_role() {
    let served = served();
    let tokens: Vec<(Role, String)> = [Role::Agent, Role::Viewer, Role::Operator, Role::Admin]
        .map(|role| (role, served.store(role, &[], None)))
        .into();
    let expired = served.store(Role::Admin, &[], Some(NOW));
    let revoked = served.store(Role::Admin, &[], None);
    let unknown = NewText::random().expect("random bytes").text;
    // The right identifier with the secret of another token.
    let (identifier, _) = tokens[3].1.rsplit_once('_').expect("a token");
    let (_, secret) = unknown.rsplit_once('_').expect("a token");
    let mixed = format!("{identifier}_{secret}");
    let served = served.restarted(NOW);
    let id = revoked.split('_').nth(1).expect("an identifier");
    let (status, _) = served.send("DELETE", &format!("/tokens/{id}"), Some(&tokens[3].1), &Value::Null).await;
    assert_eq!(status, 200);

    let mut walked = 0;
    for endpoint in endpoints() {
        let (method, uri) = (endpoint.method.as_str(), path_with(&endpoint.path, "x"));
        let place = format!("{method} {uri}");
        let strangers = [None, Some("wrong"), Some(&expired), Some(&revoked), Some(&unknown), Some(&mixed)];
        for stranger in strangers {
            let (status, answer) = served.send(method, &uri, stranger, &json!({})).await;
            match endpoint.need {
                Need::Public => assert!(!matches!(status, 401 | 403), "{place} {stranger:?}: {status} {answer}"),
                Need::Role(_) => assert_eq!(status, 401, "{place} {stranger:?}: {answer}"),
            }
        }
        for (role, token) in &tokens {
            let (status, answer) = served.send(method, &uri, Some(token), &json!({})).await;
            match endpoint.need {
                Need::Role(needed) if !role.includes(needed) => {
                    let detail = format!("this needs the role `{needed}`; `{role}` has the role `{role}`");
                    assert_eq!((status, answer["detail"].as_str()), (403, Some(detail.as_str())), "{place} {role}");
                }
                _ => assert!(!matches!(status, 401 | 403), "{place} {role}: {status} {answer}"),
            }
            walked += 1;
        }
        let (status, answer) = served.send(method, &uri, Some(CONFIGURED), &json!({})).await;
        assert!(!matches!(status, 401 | 403), "{place}, the configured token: {status} {answer}");
    }
    assert!(walked > 150, "{walked}");
    // The documentation is for everybody, and has nothing about this installation.
    for uri in ["/docs", "/docs/", "/docs/index.css"] {
        for token in [None, Some("wrong"), Some(&tokens[0].1)] {
            let (status, _) = served.send("GET", uri, token, &Value::Null).await;
            assert!(!matches!(status, 401 | 403), "{uri} {token:?}: {status}");
        }
    }
    // Strangers do not learn which paths and methods exist.
    for (method, uri) in [("GET", "/nowhere"), ("PUT", "/workloads"), ("POST", "/health"), ("GET", "/tokens/x")] {
        assert_eq!(served.send(method, uri, None, &Value::Null).await.0, 401, "{method} {uri}");
    }
    let (status, answer) = served.send("GET", "/workloads", Some(&expired), &Value::Null).await;
    assert!(status == 401 && answer.to_string().contains("has expired"), "{answer}");
}

#[tokio::test]
async fn the_description_states_the_role_of_each_operation() {
    let document = router::document();
    for endpoint in endpoints() {
        let operation = &document["paths"][&endpoint.path][endpoint.method.as_str().to_lowercase()];
        match endpoint.need {
            Need::Public => assert_eq!(operation["security"], json!([]), "{}", endpoint.path),
            Need::Role(role) => assert_eq!(operation["x-role"], json!(role.as_str()), "{}", endpoint.path),
        }
        assert!(operation["description"].as_str().is_some_and(|text| text.starts_with("Needs ")), "{operation}");
    }
}

/// Waits until a pass has observed these containers.
async fn until_listed(served: &Served, names: &[&str]) {
    let listed = async {
        loop {
            let (_, answer) = served.send("GET", "/containers", Some(CONFIGURED), &Value::Null).await;
            let text = answer.to_string();
            if names.iter().all(|name| text.contains(name)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listed).await.expect("they are listed");
}

#[tokio::test]
async fn a_limited_caller_sees_and_changes_its_workloads_only() {
    let served = served();
    let limited = [Role::Viewer, Role::Operator, Role::Admin].map(|role| (role, served.store(role, &["web*"], None)));
    let served = served.restarted(NOW);
    let (own, foreign) = (served.start("web").await, served.start("foreign").await);
    until_listed(&served, &[&own, &foreign]).await;
    for endpoint in endpoints() {
        let method = endpoint.method.as_str();
        for (role, token) in &limited {
            let Need::Role(needed) = endpoint.need else { continue };
            if !role.includes(needed) {
                continue;
            }
            let send = async |name: &str| {
                // Nothing fits this body, so nothing is changed.
                let uri = format!("{}?nonsense=1", path_with(&endpoint.path, name));
                served.send(method, &uri, Some(token), &json!([])).await
            };
            let place = format!("{method} {} {role}", endpoint.path);
            match endpoint.concerns {
                Concerns::Workload => {
                    let (status, answer) = send("foreign").await;
                    let detail = format!("`{role}` is limited to the workloads `web*`");
                    assert_eq!((status, answer["detail"].as_str()), (403, Some(detail.as_str())), "{place}");
                    assert_eq!(send("web").await.0, 422, "{place}");
                    // A workload that does not exist is no different.
                    assert_eq!(send("nothing").await.0, 403, "{place}");
                }
                Concerns::Container => {
                    assert_eq!(send(&foreign).await.0, 404, "{place}");
                    assert_eq!(send(&own).await.0, 422, "{place}");
                }
                Concerns::Everything => assert_eq!(send("x").await.0, 403, "{place}"),
                Concerns::Checked => assert!(send("x").await.0 == 422, "{place}"),
            }
        }
    }
    // The handlers that check for themselves.
    let (_, viewer) = &limited[0];
    let (_, admin) = &limited[2];
    let get = async |uri: &str, token: &str| served.send("GET", uri, Some(token), &Value::Null).await;
    for uri in [
        "/workloads",
        "/images",
        "/containers",
        "/metrics",
        "/discovery/prometheus",
        "/policies",
        "/ready",
        "/events?follow=false",
    ] {
        let (status, answer) = get(uri, viewer).await;
        let text = answer.to_string();
        assert!(status == 200 && !text.contains("foreign") && !text.contains(&foreign), "{uri}: {text}");
    }
    let (_, all) = get("/workloads", CONFIGURED).await;
    assert_eq!(all["workloads"].as_array().map(Vec::len), Some(2));
    let (_, own_list) = get("/workloads", viewer).await;
    assert_eq!(own_list["workloads"].as_array().map(Vec::len), Some(1));
    assert!(get("/containers", viewer).await.1.to_string().contains(&own));
    let (_, decisions) = get("/workloads/foreign/decisions", CONFIGURED).await;
    let id = decisions["decisions"][0]["id"].as_i64().expect("a decision");
    assert_eq!(get(&format!("/decisions/{id}"), CONFIGURED).await.0, 200);
    assert_eq!(get(&format!("/decisions/{id}"), viewer).await.0, 404);
    let resources = json!({"cpu": "0.5", "memory": "64m"});
    let body = |name: &str| json!({"image": format!("{name}:1"), "name": name, "resources": resources});
    for (name, expected) in [("foreign", 403), ("web", 200), ("web-2", 200), ("another", 403)] {
        let (status, answer) = served.send("POST", "/start/container", Some(admin), &body(name)).await;
        assert_eq!(status, expected, "{name}: {answer}");
    }
    // Another spelling of an image leads to the same workload, and to the same answer.
    let image = json!({"image": "secret:1", "resources": {"cpu": "0.5", "memory": "64m"}});
    assert_eq!(served.send("POST", "/start/container", Some(CONFIGURED), &image).await.0, 200);
    for name in ["secret:1", "docker.io%2Flibrary%2Fsecret:1"] {
        assert_eq!(get(&format!("/workloads/{name}"), CONFIGURED).await.0, 200, "{name}");
        assert_eq!(get(&format!("/workloads/{name}"), viewer).await.0, 403, "{name}");
    }
}

#[tokio::test]
async fn a_token_is_shown_once_used_listed_and_revoked() {
    let served = served().restarted(NOW);
    let body = json!({"name": "ci", "role": "operator", "workloads": ["web*"], "expires_in": "1h"});
    let (status, created) = served.send("POST", "/tokens", Some(CONFIGURED), &body).await;
    assert_eq!(status, 201, "{created}");
    let token = created["token"].as_str().expect("a token").to_owned();
    let secret = token.rsplit_once('_').expect("a secret").1;
    insta::assert_json_snapshot!(created, {".token" => "wl_…", ".id" => "…"}, @r#"
    {
      "created_at": "2026-01-01T00:00:00Z",
      "created_by": "the configured token",
      "expires_at": "2026-01-01T01:00:00Z",
      "id": "…",
      "last_used_at": null,
      "name": "ci",
      "role": "operator",
      "token": "wl_…",
      "workloads": [
        "web*"
      ]
    }
    "#);
    let (_, listed) = served.send("GET", "/tokens", Some(CONFIGURED), &Value::Null).await;
    assert!(listed["tokens"][0]["last_used_at"].is_null() && !listed.to_string().contains(secret), "{listed}");
    assert_eq!(served.send("GET", "/workloads", Some(&token), &Value::Null).await.0, 200);
    let (_, listed) = served.send("GET", "/tokens", Some(CONFIGURED), &Value::Null).await;
    assert_eq!(listed["tokens"][0]["last_used_at"], "2026-01-01T00:00:00Z");

    // It is there after a restart, until it expires. The store has no secret.
    let served = served.restarted(NOW.plus(Duration::from_secs(3_599)));
    assert_eq!(served.send("GET", "/workloads", Some(&token), &Value::Null).await.0, 200);
    assert!(!format!("{:?}", served.store.tokens().expect("read")).contains(secret));
    let served = served.restarted(NOW.plus(Duration::from_secs(3_600)));
    assert_eq!(served.send("GET", "/workloads", Some(&token), &Value::Null).await.0, 401);
    let served = served.restarted(NOW);
    let uri = format!("/tokens/{}", created["id"].as_str().expect("an identifier"));
    let (status, revoked) = served.send("DELETE", &uri, Some(CONFIGURED), &Value::Null).await;
    assert!(status == 200 && revoked["revoked"] == true && !revoked.to_string().contains(secret), "{revoked}");
    assert_eq!(served.send("GET", "/workloads", Some(&token), &Value::Null).await.0, 401);
    assert_eq!(served.send("DELETE", &uri, Some(CONFIGURED), &Value::Null).await.0, 404);
    assert_eq!(served.restarted(NOW).send("GET", "/workloads", Some(&token), &Value::Null).await.0, 401);
}
