//! The record of changes.

use super::roles::{CONFIGURED, Served, path_with, served, served_with};
use super::*;
use crate::fixtures::controller_and_engine;
use serde_json::json;
use std::time::Duration;

async fn records(served: &Served) -> Vec<Value> {
    let (status, answer) = served.send("GET", "/audit", Some(CONFIGURED), &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer["records"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn each_change_is_recorded_with_its_caller_and_its_effect() {
    let served = served();
    let send =
        async |method: &str, uri: &str, token: &str, body: &Value| served.send(method, uri, Some(token), body).await.0;
    let resources = json!({"cpu": "0.5", "memory": "64m"});
    let web = json!({"image": "nginx:1", "name": "web", "resources": resources, "env": {"PASSWORD": "hunter2"}});
    assert_eq!(send("POST", "/start/container", CONFIGURED, &web).await, 200);
    let (_, created) =
        served.send("POST", "/tokens", Some(CONFIGURED), &json!({"name": "ci", "role": "operator"})).await;
    let ci = created["token"].as_str().expect("a token").to_owned();
    let bounds = json!({"min_replicas": 1, "max_replicas": 3});
    assert_eq!(send("POST", "/workloads/web/scale", &ci, &bounds).await, 200);
    assert_eq!(send("POST", "/workloads/web/scale", &ci, &json!({"min_replicas": 1})).await, 422);
    assert_eq!(send("PATCH", "/images/web/overrides", &ci, &json!({"paused": true})).await, 200);
    // A request that only reads, samples, and a refused change are no changes.
    assert_eq!(send("GET", "/workloads/web", &ci, &Value::Null).await, 200);
    assert_eq!(send("DELETE", "/workloads/web", &ci, &Value::Null).await, 403);
    send("POST", "/workloads/web/metrics", &ci, &json!({"samples": {}})).await;
    let other = json!({"image": "nginx:1", "name": "web", "resources": resources, "env": {"PASSWORD": "hunter3"}});
    assert_eq!(send("POST", "/start/container", CONFIGURED, &other).await / 100, 2);
    assert_eq!(send("DELETE", "/workloads/web", CONFIGURED, &Value::Null).await, 200);

    let all = records(&served).await;
    // Each record is an event, too.
    let (status, events) = served.send("GET", "/events?follow=false&kind=audit", Some(CONFIGURED), &Value::Null).await;
    let events = events["events"].as_array().expect("a list").clone();
    assert_eq!((status, events.len()), (200, all.len()), "{events:?}");
    for (event, record) in events.iter().zip(all.iter().rev()) {
        assert_eq!((&event["data"]["request"], &event["data"]["who"]), (&record["request"], &record["who"]));
    }
    assert!(!json!(events).to_string().contains("hunter"), "{events:?}");
    let text = json!(all).to_string();
    let secret = ci.rsplit_once('_').expect("a secret").1;
    assert!(!text.contains("hunter") && !text.contains(secret) && !text.contains(CONFIGURED), "{text}");
    let line = |record: &Value| {
        let field = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        // A start may be answered while its replicas are being replaced.
        let status = record["status"].to_string().replace("202", "200");
        format!("{}, {}, {}: {status} {}", field("who"), field("request"), field("workload"), field("result"))
    };
    let lines: Vec<String> = all.iter().rev().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    the configured token, POST /start/container, web: 200 done
    the configured token, POST /tokens, -: 201 done
    ci, POST /workloads/web/scale, web: 200 done
    ci, POST /workloads/web/scale, web: 422 /max_replicas: this field is required
    ci, PATCH /images/web/overrides, web: 200 done
    the configured token, POST /start/container, web: 200 done
    the configured token, DELETE /workloads/web, web: 200 done
    "#);
    let [deleted, changed, paused, refused, scaled, token, started] = all.as_slice() else { panic!("{text}") };
    assert!(started["before"].is_null() && started["after"]["image"] == "nginx:1", "{started}");
    assert!(started["after"]["env"] == "not shown" && started["what"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(token["before"].is_null() && token["after"]["role"] == "operator", "{token}");
    assert_eq!(scaled["before"]["bounds"]["max"], 5, "{scaled}");
    assert_eq!(scaled["after"]["bounds"], json!({"min": 1, "max": 3}), "{scaled}");
    assert!(refused["before"]["bounds"].is_null() && refused["after"]["bounds"].is_null(), "{refused}");
    assert_eq!(paused["before"]["overrides"]["paused"], false, "{paused}");
    assert_eq!(paused["after"]["overrides"]["paused"], true, "{paused}");
    assert!(changed["before"]["env"] == "not shown" && changed["after"]["env"] == "not shown", "{changed}");
    assert!(deleted["before"]["image"] == "nginx:1" && deleted["after"].is_null(), "{deleted}");
    assert_eq!(all[0]["from"], "0.0.0.0");
    assert_eq!(all.iter().filter(|record| record["token"] == created["id"]).count(), 3, "{text}");
    // The list is paged and filtered.
    let get = async |uri: &str| served.send("GET", uri, Some(CONFIGURED), &Value::Null).await.1;
    let page = get("/audit?limit=2").await;
    assert_eq!((page["records"].as_array().map(Vec::len), &page["next"]), (Some(2), &all[1]["id"]));
    let rest = get(&format!("/audit?before={}&workload=web&limit=1000", page["next"])).await;
    assert!(rest["next"].is_null() && rest["records"].as_array().is_some_and(|rest| !rest.is_empty()), "{rest}");
    assert_eq!(get("/audit?workload=nothing").await["records"], json!([]));
}

#[tokio::test]
async fn a_change_whose_caller_leaves_is_recorded_when_it_has_ended() {
    let (controller, engine) = controller_and_engine();
    let mut pulls = engine.hang_pulls();
    let settings = ApiSettings { token: Some(CONFIGURED.to_owned()), ..ApiSettings::default() };
    let served = served_with(controller, settings);
    let body = json!({"image": "web:1", "resources": {"cpu": "0.5", "memory": "64m"}});
    let request = Request::post("/start/container?pull=true").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {CONFIGURED}")).body(Body::from(body.to_string()));
    let call = served.api.clone().oneshot(request.expect("a request"));
    let caller = tokio::spawn(async move { call.await.map(drop) });
    let mut reaches = async |count: usize| {
        let reached = pulls.wait_for(|pulls| *pulls == count);
        assert!(tokio::time::timeout(Duration::from_secs(20), reached).await.is_ok(), "{count} pulls");
    };
    reaches(1).await;
    assert!(records(&served).await.is_empty());
    caller.abort();
    reaches(0).await;
    let found = async {
        loop {
            if let Some(record) = records(&served).await.pop() {
                return record;
            }
            tokio::task::yield_now().await;
        }
    };
    let record = tokio::time::timeout(Duration::from_secs(20), found).await.expect("a record");
    assert_eq!((&record["who"], &record["status"]), (&json!("the configured token"), &json!(503)), "{record}");
    assert_eq!(record["request"], "POST /start/container");
}

/// The changing requests that are no changes in the record.
const UNRECORDED: [(&str, &str, &str); 4] = [
    ("POST", "/workloads/{name}/metrics", "samples are data"),
    ("POST", "/images/{image}/metrics", "samples are data"),
    ("POST", "/login", "it is recorded by itself, and only if it succeeds"),
    ("POST", "/logout", "the session is no object of others"),
];

#[tokio::test]
async fn every_changing_request_of_the_table_is_recorded_also_if_it_fails() {
    let served = served();
    let endpoints = endpoints().into_iter();
    let changing: Vec<_> = endpoints.filter(|one| crate::access::web::is_change(&one.method)).collect();
    assert!(changing.len() > 25, "{}", changing.len());
    let mut recorded = 0;
    for endpoint in changing {
        let method = endpoint.method.as_str();
        let uri = path_with(&endpoint.path, "nothing");
        // Nothing fits this body.
        let (status, answer) = served.send(method, &uri, Some(CONFIGURED), &json!([])).await;
        let all = records(&served).await;
        let is_known = |(of, path, _): &(&str, &str, &str)| *of == method && *path == endpoint.path;
        if UNRECORDED.iter().any(is_known) {
            assert_eq!(all.len(), recorded, "{method} {uri}: {:?}", all.first());
            continue;
        }
        recorded += 1;
        assert_eq!(all.len(), recorded, "{method} {uri} is not recorded: {status} {answer}");
        let record = &all[0];
        assert_eq!(record["request"], format!("{method} {uri}"));
        assert_eq!((&record["who"], &record["status"]), (&json!("the configured token"), &json!(status)), "{record}");
        let result = record["result"].as_str().unwrap_or_default();
        assert_eq!(result == "done", status < 300, "{method} {uri}: {record}");
        assert!(record["what"].as_str().is_some_and(|what| !what.is_empty()), "{record}");
    }
}
