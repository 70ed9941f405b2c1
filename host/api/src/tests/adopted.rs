//! Workloads that labels declare: what a request can change, and what only their labels can.

use super::*;
use crate::fixtures::{Tasks, adopted, compose, controller_with, engine};
use serde_json::json;
use windlass_core::engine::SlotEngine;
use windlass_core::workload::Mode;
use windlass_core::{Creator, Declaration, DeclaredService, Replica, Slot, Workload, WorkloadKey};
use windlass_simulated_engine::SimulatedEngine;

async fn answer(api: &axum::Router, method: &str, uri: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let Ok(response) = api.clone().oneshot(request.body(body).expect("a request")).await;
    (response.status().as_u16(), json(response).await)
}

/// The status and the detail of an answer.
async fn refused(api: &axum::Router, method: &str, uri: &str, body: &Value) -> String {
    let (status, answer) = answer(api, method, uri, body).await;
    format!("{status} {}", answer["detail"].as_str().unwrap_or_default())
}

/// A running container of a workload, which Windlass did not create.
async fn container(engine: &SimulatedEngine, workload: &Workload) -> Replica {
    // The engine creates containers of a managed workload, and copies of those of Compose.
    let managed = Workload { declaration: Declaration::Api, ..workload.clone() };
    let created = engine.create(&managed, Slot(1)).await.expect("created");
    engine.change(&created.id, |replica| replica.creator = Creator::Compose { uncopyable: None });
    engine.start(&created.id).await.expect("started")
}

/// The API of a Windlass on a simulated engine, with the service `web` of the project `shop` and its container.
async fn shop(mode: Mode) -> (axum::Router, Replica) {
    let (engine, workload) = (engine(), adopted(compose(), mode));
    let replica = container(&engine, &workload).await;
    let controller = controller_with(Arc::new(engine).into(), &[workload]);
    let api = api_of(controller, &ApiSettings::default());
    let (status, observed) = answer(&api, "POST", "/workloads/shop-web/reconcile", &Value::Null).await;
    assert_eq!(status, 200, "{observed}");
    (api, replica)
}

#[tokio::test]
async fn an_adopted_workload_is_addressed_below_workloads_alone() {
    let (api, replica) = shop(Mode::Recommend).await;
    let (_, listed) = answer(&api, "GET", "/images", &Value::Null).await;
    assert_eq!(listed, json!({"images": []}));
    let (_, listed) = answer(&api, "GET", "/workloads", &Value::Null).await;
    insta::assert_json_snapshot!(listed, @r#"
    {
      "refused": [],
      "workloads": [
        {
          "declared_by": "compose",
          "image": "web:1",
          "max_replicas": 3,
          "min_replicas": 1,
          "mode": "recommend",
          "name": "shop-web",
          "project": "shop",
          "ready": 1,
          "replicas": 1,
          "service": "web",
          "target": 1
        }
      ]
    }
    "#);
    let (_, listed) = answer(&api, "GET", "/containers", &Value::Null).await;
    assert_eq!(listed["containers"][0]["name"], replica.name.as_str());
    let elsewhere = "404 labels declare workload `shop-web`; its path is `/workloads/shop-web`";
    for endpoint in endpoints() {
        let Some(resource) = endpoint.path.strip_prefix("/images/{image}") else { continue };
        let uri = format!("/images/shop-web{resource}");
        assert_eq!(refused(&api, endpoint.method.as_str(), &uri, &Value::Null).await, elsewhere, "{uri}");
    }
    for resource in ["", "/containers", "/health", "/metrics", "/decisions", "/shadows"] {
        let (status, answer) = answer(&api, "GET", &format!("/workloads/shop-web{resource}"), &Value::Null).await;
        assert_eq!(status, 200, "{resource}: {answer}");
    }
}

#[tokio::test]
async fn what_a_label_sets_is_changed_by_the_label_alone() {
    let (api, _) = shop(Mode::Recommend).await;
    let mut said = Vec::new();
    let requests = [
        ("POST", "/workloads/shop-web/scale", json!({"min_replicas": 1, "max_replicas": 9})),
        ("POST", "/workloads/shop-web/scale", json!({"min_replicas": 2, "max_replicas": 9})),
        ("PUT", "/workloads/shop-web/policy", json!({"mode": "act"})),
        ("PUT", "/workloads/shop-web/policy", json!({"mode": "recommend", "scaling_policy": {"name": "min-max"}})),
        ("PUT", "/workloads/shop-web/guardrails", json!({"grace": "0s"})),
        ("PUT", "/workloads/shop-web/metrics", json!({"metrics": {}})),
        ("DELETE", "/workloads/shop-web", Value::Null),
        (
            "POST",
            "/start/container",
            json!({"image": "web:2", "name": "shop-web", "resources": {"cpu": "0.5", "memory": "64m"}}),
        ),
    ];
    let (_, before) = answer(&api, "GET", "/workloads/shop-web", &Value::Null).await;
    for (method, uri, body) in &requests {
        said.push(format!("{method} {uri} {body}\n  {}", refused(&api, method, uri, body).await));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    POST /workloads/shop-web/scale {"max_replicas":9,"min_replicas":1}
      409 the label `windlass.max` of service `web` in project `shop` sets `max_replicas`; change it there and run `docker compose up -d`
    POST /workloads/shop-web/scale {"max_replicas":9,"min_replicas":2}
      409 the labels `windlass.min` and `windlass.max` of service `web` in project `shop` set `min_replicas` and `max_replicas`; change them there and run `docker compose up -d`
    PUT /workloads/shop-web/policy {"mode":"act"}
      409 the label `windlass.mode` of service `web` in project `shop` sets `mode`; change it there and run `docker compose up -d`
    PUT /workloads/shop-web/policy {"mode":"recommend","scaling_policy":{"name":"min-max"}}
      409 the labels `windlass.policy`, `windlass.policy.config` and `windlass.profile` of service `web` in project `shop` set `scaling_policy`; change them there and run `docker compose up -d`
    PUT /workloads/shop-web/guardrails {"grace":"0s"}
      409 the label `windlass.profile` of service `web` in project `shop` sets `guardrails`; change it there and run `docker compose up -d`
    PUT /workloads/shop-web/metrics {"metrics":{}}
      409 the label `windlass.profile` of service `web` in project `shop` sets `metrics`; change it there and run `docker compose up -d`
    DELETE /workloads/shop-web null
      409 the label `windlass.enable` of service `web` in project `shop` declares workload `shop-web`; remove it there and run `docker compose up -d`, and Windlass leaves the service alone
    POST /start/container {"image":"web:2","name":"shop-web","resources":{"cpu":"0.5","memory":"64m"}}
      409 labels of service `web` in project `shop` declare workload `shop-web`; give this one another `name`
    "#);
    let (_, after) = answer(&api, "GET", "/workloads/shop-web", &Value::Null).await;
    assert_eq!(after["desired"], before["desired"]);
}

#[tokio::test]
async fn an_operator_overrides_and_pushes_and_repeats_what_the_labels_say() {
    let (api, _) = shop(Mode::Recommend).await;
    let (_, view) = answer(&api, "GET", "/workloads/shop-web", &Value::Null).await;
    let desired = &view["desired"];
    for (method, resource, body) in [
        ("PATCH", "/overrides", json!({"paused": true, "force": {"replicas": 2, "for": "1h"}})),
        ("PATCH", "/overrides", json!({"paused": false, "force": null})),
        ("POST", "/metrics", json!({"samples": [{"name": "queue", "value": 3}]})),
        ("POST", "/reconcile", Value::Null),
        // Nothing of it is a change.
        ("POST", "/scale", json!({"min_replicas": 1, "max_replicas": 3})),
        ("PUT", "/policy", json!({"mode": "recommend"})),
        ("PUT", "/guardrails", desired["guardrails"].clone()),
        ("PUT", "/metrics", json!({"metrics": desired["metrics"]})),
    ] {
        let (status, answer) = answer(&api, method, &format!("/workloads/shop-web{resource}"), &body).await;
        assert_eq!(status, 200, "{method} {resource}: {answer}");
    }
}

#[tokio::test]
async fn containers_of_a_compose_service_are_changed_only_while_its_label_says_act() {
    let (api, replica) = shop(Mode::Recommend).await;
    let uri = format!("/containers/{}", replica.name);
    let only_recommends = "409 workload `shop-web` only recommends, so Windlass changes none of its containers; set the \
                           label `windlass.mode` of service `web` in project `shop` to `act` and run `docker compose up -d`";
    assert_eq!(refused(&api, "PATCH", &uri, &json!({"status": "stopped"})).await, only_recommends);
    assert_eq!(refused(&api, "DELETE", &format!("{uri}?force=true"), &Value::Null).await, only_recommends);
    // It runs, and its protection changes no container.
    for change in [json!({"status": "running"}), json!({"scale_in_protection": true})] {
        assert_eq!(answer(&api, "PATCH", &uri, &change).await.0, 200, "{change}");
    }

    let (api, replica) = shop(Mode::Act).await;
    let uri = format!("/containers/{}", replica.name);
    let no_earlier = "409 the containers of `shop-web` come from its Compose file, of which no earlier version is known; \
                      change the file and run `docker compose up -d`";
    assert_eq!(refused(&api, "POST", "/workloads/shop-web/rollback", &Value::Null).await, no_earlier);
    let (status, stopped) = answer(&api, "PATCH", &uri, &json!({"status": "stopped"})).await;
    assert_eq!((status, &stopped["status"]), (200, &json!("exited")), "{stopped}");
    let (status, deleted) = answer(&api, "DELETE", &uri, &Value::Null).await;
    assert_eq!(status, 200, "{deleted}");
}

#[tokio::test]
async fn tasks_of_a_swarm_are_its_own_and_a_rollback_is_its_own_too() {
    let swarm = Declaration::Swarm { service: "api".to_owned() };
    let (engine, acting) = (engine(), adopted(swarm, Mode::Act));
    let recommended = adopted(Declaration::Swarm { service: "slow".to_owned() }, Mode::Recommend);
    let managed = Workload::new(acting.image.clone(), acting.bounds, acting.resources.clone());
    let task = container(&engine, &acting).await;
    let tasks = Arc::new(Tasks::of(engine));
    let engine = windlass_core::engine::AnyEngine::Counts(tasks.clone());
    let api = api_of(controller_with(engine, &[acting, recommended, managed]), &ApiSettings::default());
    answer(&api, "POST", "/workloads/api/reconcile", &Value::Null).await;

    let uri = format!("/containers/{}", task.name);
    let owned = format!(
        "409 container `{}` is a task of a service, and Swarm starts, replaces and removes tasks by itself; change the \
         number of replicas instead",
        task.name
    );
    assert_eq!(refused(&api, "PATCH", &uri, &json!({"status": "stopped"})).await, owned);
    assert_eq!(refused(&api, "DELETE", &format!("{uri}?force=true"), &Value::Null).await, owned);
    let protected = refused(&api, "PATCH", &uri, &json!({"scale_in_protection": true})).await;
    assert!(protected.starts_with("409 Swarm chooses the tasks that it removes"), "{protected}");
    for unchanged in [json!({"status": "running"}), json!({"scale_in_protection": false})] {
        assert_eq!(answer(&api, "PATCH", &uri, &unchanged).await.0, 200, "{unchanged}");
    }

    assert_eq!(answer(&api, "POST", "/workloads/api/rollback", &Value::Null).await.0, 200);
    let left_alone = refused(&api, "POST", "/workloads/slow/rollback", &Value::Null).await;
    assert!(left_alone.starts_with("409 workload `slow` only recommends"), "{left_alone}");
    let kept = refused(&api, "DELETE", "/workloads/api", &Value::Null).await;
    assert!(kept.contains("remove it there and run `docker stack deploy`"), "{kept}");
    assert_eq!(answer(&api, "DELETE", "/workloads/web:1", &Value::Null).await.0, 200);
    assert_eq!(tasks.calls(), ["roll back api", "remove web:1"]);
}

#[tokio::test]
async fn a_service_that_is_left_alone_is_listed_and_answered_with_the_reason() {
    let engine = SimulatedEngine::new(|| windlass_control::clock::Clock::System.now(), std::time::Duration::ZERO);
    let labels = [("windlass.enable", "true"), ("windlass.max", "many")];
    engine.declare(vec![DeclaredService {
        key: WorkloadKey::stored("shop-web"),
        declaration: compose(),
        image: "web:1".parse().expect("an image"),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        depends_on: Vec::new(),
        obstacle: None,
    }]);
    let controller = controller_with(Arc::new(engine).into(), &[]);
    let listed = async {
        while controller.refused_services().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), listed).await;
    assert!(in_time.is_ok(), "the service is found");
    let api = api_of(controller, &ApiSettings::default());
    let (_, listed) = answer(&api, "GET", "/workloads", &Value::Null).await;
    let service = &listed["refused"][0];
    assert_eq!(listed["workloads"], json!([]));
    assert_eq!([&service["name"], &service["declared_by"], &service["project"]], ["shop-web", "compose", "shop"]);
    let reason = service["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`windlass.max` is `many`"), "{reason}");
    let unknown = refused(&api, "GET", "/workloads/shop-web", &Value::Null).await;
    assert_eq!(unknown, format!("404 workload `shop-web` is not adopted: {reason}"));
    let Ok(response) = api.oneshot(Request::get("/metrics").body(Body::empty()).expect("a request")).await;
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("\nwindlass_refused_services 1\n"));
}
