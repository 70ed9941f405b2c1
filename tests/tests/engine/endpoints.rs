//! Every endpoint of the program: whole answers of its success and of each error.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::response::Response;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

const WEB: &str = "windlass-tests/web:1";

/// A started workload with one free port, with which most tests begin.
async fn started(site: &Site, windlass: &Windlass, min: u32, max: u32) -> anyhow::Result<Response> {
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut body = start_body(image, min, max);
    body["ports"] = json!({"80/tcp": 0});
    Ok(windlass.post("/start/container", body).await)
}

#[tokio::test]
async fn a_workload_is_started_and_then_kept() -> anyhow::Result<()> {
    let site = Site::new("start").await?;
    let windlass = site.start().await?;
    let first = started(&site, &windlass, 1, 2).await?;
    insta::assert_snapshot!(first, @r#"
    200 application/json
    {
      "action": "created",
      "container_id": "[container_id]",
      "image": "windlass-tests/web:1",
      "name": "[name]",
      "ok": true,
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "[port]"
          }
        ]
      },
      "status": "running"
    }
    "#);
    let second = started(&site, &windlass, 1, 2).await?;
    insta::assert_snapshot!(second, @r#"
    200 application/json
    {
      "action": "kept-existing",
      "container_id": "[container_id]",
      "image": "windlass-tests/web:1",
      "name": "[name]",
      "ok": true,
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "[port]"
          }
        ]
      },
      "status": "running"
    }
    "#);
    assert_eq!(first.body["container_id"], second.body["container_id"]);
    Ok(())
}

#[tokio::test]
async fn a_workload_may_be_created_stopped() -> anyhow::Result<()> {
    let site = Site::new("stopped").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["resources"]["status"] = json!("stopped");
    insta::assert_snapshot!(windlass.post("/start/container", body).await, @r#"
    200 application/json
    {
      "action": "created",
      "container_id": "[container_id]",
      "image": "windlass-tests/web:1",
      "name": "[name]",
      "ok": true,
      "ports": {},
      "status": "created"
    }
    "#);
    assert!(site.engine().running(site.instance()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn starts_that_cannot_be_are_refused_with_everything_that_is_wrong() -> anyhow::Result<()> {
    let site = Site::new("refused").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let start = async |body: Value| windlass.post("/start/container", body).await;

    insta::assert_snapshot!(start(json!({})).await, @r#"
    422 application/problem+json
    {
      "detail": "/image: this field is required; /resources: this field is required",
      "errors": [
        {
          "detail": "this field is required",
          "pointer": "/image"
        },
        {
          "detail": "this field is required",
          "pointer": "/resources"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(start(start_body(image, 3, 2)).await, @r#"
    422 application/problem+json
    {
      "detail": "/min_replicas: `min_replicas` (3) is above `max_replicas` (2)",
      "errors": [
        {
          "detail": "`min_replicas` (3) is above `max_replicas` (2)",
          "pointer": "/min_replicas"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    let mut fixed_port = start_body(image, 1, 2);
    fixed_port["ports"] = json!({"80/tcp": 18080});
    insta::assert_snapshot!(start(fixed_port).await, @r#"
    422 application/problem+json
    {
      "detail": "/ports: `80/tcp` is fixed to host port 18080, which one replica alone can have, but `max_replicas` is 2; set the host port to 0 (any free one) or `max_replicas` to 1",
      "errors": [
        {
          "detail": "`80/tcp` is fixed to host port 18080, which one replica alone can have, but `max_replicas` is 2; set the host port to 0 (any free one) or `max_replicas` to 1",
          "pointer": "/ports"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    let mut misspelt = start_body(image, 1, 2);
    misspelt["max_replica"] = json!(3);
    insta::assert_snapshot!(start(misspelt).await, @r#"
    422 application/problem+json
    {
      "detail": "/max_replica: unknown field; did you mean `max_replicas`?",
      "errors": [
        {
          "detail": "unknown field; did you mean `max_replicas`?",
          "pointer": "/max_replica"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    let not_json = windlass.request(reqwest::Method::POST, "/start/container", Some("{".to_owned())).await;
    insta::assert_snapshot!(not_json, @r#"
    422 application/problem+json
    {
      "detail": "the body is not JSON: EOF while parsing an object at line 1 column 1",
      "errors": [
        {
          "detail": "the body is not JSON: EOF while parsing an object at line 1 column 1",
          "pointer": ""
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    // Errors that only the engine detects are reported in its own words, which differ between engines.
    let absent = start(start_body("windlass-tests/absent:1", 1, 1)).await;
    assert_eq!((absent.status, absent.content_type.as_str()), (400, "application/problem+json"), "{absent}");
    assert!(absent.text("/detail").contains("the desired state is kept, and Windlass tries again"), "{absent}");
    assert!(site.engine().containers(site.instance()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn scaling_answers_with_what_was_done() -> anyhow::Result<()> {
    let site = Site::new("scale").await?;
    let windlass = site.start().await?;
    started(&site, &windlass, 1, 1).await?.ok();
    let scale = async |image: &str, min: u32, max: u32| {
        let body = json!({"min_replicas": min, "max_replicas": max});
        windlass.post(&format!("/images/{image}/scale"), body).await
    };
    insta::assert_snapshot!(scale(WEB, 2, 2).await, @r#"
    200 application/json
    {
      "actions": [
        {
          "action": "create",
          "details": {
            "container_id": "[container_id]",
            "name": "[name]",
            "ports": {
              "80/tcp": [
                {
                  "HostIp": "0.0.0.0",
                  "HostPort": "[port]"
                }
              ]
            },
            "reason": "1 of 2 replicas exist",
            "status": "running"
          },
          "ok": true
        }
      ],
      "current": [
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        },
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        }
      ],
      "desired": {
        "max_replicas": 2,
        "min_replicas": 2
      },
      "image": "windlass-tests/web:1",
      "ok": true
    }
    "#);
    insta::assert_snapshot!(scale(WEB, 1, 1).await, @r#"
    200 application/json
    {
      "actions": [
        {
          "action": "remove",
          "container_id": "[container_id]",
          "details": {
            "reason": "scale-in from 2 to 1: it is the oldest"
          },
          "name": "[name]",
          "ok": true
        }
      ],
      "current": [
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        }
      ],
      "desired": {
        "max_replicas": 1,
        "min_replicas": 1
      },
      "image": "windlass-tests/web:1",
      "ok": true
    }
    "#);
    insta::assert_snapshot!(scale(WEB, 2, 1).await, @r#"
    422 application/problem+json
    {
      "detail": "/min_replicas: `min_replicas` (2) is above `max_replicas` (1)",
      "errors": [
        {
          "detail": "`min_replicas` (2) is above `max_replicas` (1)",
          "pointer": "/min_replicas"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(scale("never:1", 1, 1).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    let incomplete = windlass.post(&format!("/images/{WEB}/scale"), json!({"min_replicas": 1})).await;
    insta::assert_snapshot!(incomplete, @r#"
    422 application/problem+json
    {
      "detail": "/max_replicas: this field is required",
      "errors": [
        {
          "detail": "this field is required",
          "pointer": "/max_replicas"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn an_image_with_slashes_is_addressed_raw_and_encoded() -> anyhow::Result<()> {
    let site = Site::new("slashes").await?;
    let windlass = site.start().await?;
    started(&site, &windlass, 1, 1).await?.ok();
    let raw = windlass.get(&format!("/images/{WEB}/containers")).await;
    let encoded = windlass.get("/images/windlass-tests%2Fweb%3A1/containers").await;
    assert_eq!(raw.list("/containers").len(), 1, "{raw}");
    assert_eq!(raw.body, encoded.body);
    Ok(())
}

#[tokio::test]
async fn reconciling_says_what_is_desired_and_there() -> anyhow::Result<()> {
    let site = Site::new("reconcile").await?;
    let windlass = site.start().await?;
    started(&site, &windlass, 1, 2).await?.ok();
    insta::assert_snapshot!(windlass.post(&format!("/images/{WEB}/reconcile"), Value::Null).await, @r#"
    200 application/json
    {
      "actions": [],
      "current": [
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        }
      ],
      "desired": {
        "max_replicas": 2,
        "min_replicas": 1
      },
      "image": "windlass-tests/web:1",
      "ok": true
    }
    "#);
    insta::assert_snapshot!(windlass.post("/images/never:1/reconcile", Value::Null).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn what_there_is_can_be_listed() -> anyhow::Result<()> {
    let site = Site::new("lists").await?;
    let windlass = site.start().await?;
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    200 application/json
    {
      "containers": []
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images").await, @r#"
    200 application/json
    {
      "images": []
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images/never:1/containers").await, @r#"
    200 application/json
    {
      "containers": [],
      "image": "never:1"
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images/never:1/health").await, @r#"
    200 application/json
    {
      "health": [],
      "image": "never:1"
    }
    "#);

    started(&site, &windlass, 1, 1).await?.ok();
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    200 application/json
    {
      "containers": [
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        }
      ]
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images").await, @r#"
    200 application/json
    {
      "images": [
        {
          "env": {},
          "image": "windlass-tests/web:1",
          "max_replicas": 1,
          "min_replicas": 1,
          "ports": {
            "80/tcp": 0
          },
          "resources": {
            "cpu": "0.5",
            "memory": "64m",
            "status": "running"
          }
        }
      ]
    }
    "#);
    insta::assert_snapshot!(windlass.get(&format!("/images/{WEB}/containers")).await, @r#"
    200 application/json
    {
      "containers": [
        {
          "container_id": "[container_id]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "status": "running"
        }
      ],
      "image": "windlass-tests/web:1"
    }
    "#);
    let health = format!("/images/{WEB}/health");
    eventually("the first sample", Duration::from_secs(30), async || {
        let response = windlass.get(&health).await;
        let sampled = response.body["health"][0]["cpu_percent"].is_number();
        if sampled { Ok(()) } else { Err(response.to_string()) }
    })
    .await;
    insta::assert_snapshot!(windlass.get(&health).await, @r#"
    200 application/json
    {
      "health": [
        {
          "container_id": "[container_id]",
          "cpu_percent": "[number]",
          "fs_free_bytes": "[number]",
          "mem_percent": "[number]",
          "name": "[name]",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "[port]"
              }
            ]
          },
          "server_alive": true,
          "status": "running"
        }
      ],
      "image": "windlass-tests/web:1"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn one_image_shows_its_state_and_its_decisions() -> anyhow::Result<()> {
    let site = Site::new("image").await?;
    let windlass = site.start().await?;
    started(&site, &windlass, 1, 1).await?.ok();
    windlass.post(&format!("/images/{WEB}/reconcile"), Value::Null).await.ok();
    let shown = windlass.get(&format!("/images/{WEB}")).await.ok();
    assert_eq!(shown["image"], WEB);
    assert_eq!(shown["desired"]["target"], 1);
    assert_eq!((&shown["observed"]["replicas"], &shown["observed"]["running"]), (&json!(1), &json!(1)));
    assert!(shown["last_pass"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shown}");
    assert_eq!(shown["last_pass"]["scaling_policy"]["name"], "min-max");
    assert_eq!(shown["last_pass"]["health_policy"]["name"], "liveness");

    let decisions = windlass.get(&format!("/images/{WEB}/decisions?limit=1")).await;
    assert_eq!(decisions.list("/decisions").len(), 1, "{decisions}");
    insta::assert_snapshot!(windlass.get("/images/never:1").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images/never:1/decisions").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.get(&format!("/images/{WEB}/decisions?limit=none")).await, @r#"
    422 application/problem+json
    {
      "detail": "/query/limit: expected a whole number from 1 to 1000",
      "errors": [
        {
          "detail": "expected a whole number from 1 to 1000",
          "pointer": "/query/limit"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn an_image_is_deleted_with_its_containers() -> anyhow::Result<()> {
    let site = Site::new("delete-image").await?;
    let windlass = site.start().await?;
    started(&site, &windlass, 2, 2).await?.ok();
    insta::assert_snapshot!(windlass.delete(&format!("/images/{WEB}")).await, @r#"
    200 application/json
    {
      "deleted": true,
      "image": "windlass-tests/web:1",
      "removed": [
        {
          "container_id": "[container_id]",
          "name": "[name]"
        },
        {
          "container_id": "[container_id]",
          "name": "[name]"
        }
      ]
    }
    "#);
    assert!(site.engine().containers(site.instance()).await?.is_empty());
    insta::assert_snapshot!(windlass.delete(&format!("/images/{WEB}")).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `windlass-tests/web:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_container_is_stopped_held_and_started_again() -> anyhow::Result<()> {
    let site = Site::new("patch").await?;
    let windlass = site.start().await?;
    let name = started(&site, &windlass, 0, 2).await?.text("/name");
    let path = format!("/containers/{name}");

    insta::assert_snapshot!(windlass.patch(&path, json!({"status": "stopped"})).await, @r#"
    200 application/json
    {
      "container_id": "[container_id]",
      "name": "[name]",
      "ok": true,
      "ports": {},
      "status": "exited"
    }
    "#);
    // No pass may start a container that an operator stopped.
    windlass.post(&format!("/images/{WEB}/reconcile"), Value::Null).await.ok();
    let listed = windlass.get("/containers").await;
    let held = listed.list("/containers").iter().find(|container| container["name"] == *name).cloned();
    assert_eq!(held.map(|container| container["status"].clone()), Some(json!("exited")), "{listed}");

    insta::assert_snapshot!(windlass.patch(&path, json!({"status": "running"})).await, @r#"
    200 application/json
    {
      "container_id": "[container_id]",
      "name": "[name]",
      "ok": true,
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "[port]"
          }
        ]
      },
      "status": "running"
    }
    "#);
    insta::assert_snapshot!(windlass.patch(&path, json!({"status": "paused"})).await, @r#"
    422 application/problem+json
    {
      "detail": "/status: expected `running` or `stopped`, found `\"paused\"`",
      "errors": [
        {
          "detail": "expected `running` or `stopped`, found `\"paused\"`",
          "pointer": "/status"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.patch("/containers/nobody", json!({"status": "stopped"})).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no container `nobody`",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_running_container_is_deleted_only_by_force() -> anyhow::Result<()> {
    let site = Site::new("delete").await?;
    let windlass = site.start().await?;
    let first = started(&site, &windlass, 1, 1).await?;
    let (name, identifier) = (first.text("/name"), first.text("/container_id"));

    let refused = windlass.delete(&format!("/containers/{name}")).await;
    assert_eq!((refused.status, refused.content_type.as_str()), (400, "application/problem+json"), "{refused}");
    insta::assert_snapshot!(windlass.delete(&format!("/containers/{name}?force=yes-please")).await, @r#"
    422 application/problem+json
    {
      "detail": "/query/force: expected `true` or `false`",
      "errors": [
        {
          "detail": "expected `true` or `false`",
          "pointer": "/query/force"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    // `docker ps` prints twelve characters, which people copy.
    insta::assert_snapshot!(windlass.delete(&format!("/containers/{}?force=true", &identifier[..12])).await, @r#"
    200 application/json
    {
      "container_id": "[container_id]",
      "deleted": true,
      "name": "[name]"
    }
    "#);
    insta::assert_snapshot!(windlass.delete("/containers/nobody?force=true").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no container `nobody`",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn windlass_tells_of_itself() -> anyhow::Result<()> {
    let site = Site::new("itself").await?;
    let windlass = site.start().await?;
    insta::assert_snapshot!(windlass.get("/health").await, @r#"
    200 application/json
    {
      "ok": true
    }
    "#);
    eventually("the engine to be seen", Duration::from_secs(20), async || {
        let ready = windlass.get("/ready").await;
        if ready.status == 200 { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    let administrators = format!(
        "anyone on this machine and every container on the host network, through {} without a token",
        windlass.address()
    );
    assert_eq!(windlass.get("/ready").await.ok(), json!({"ready": true, "administrators": [administrators]}));
    assert!(windlass.log().contains(&administrators), "each start says it");

    let policies = windlass.get("/policies").await;
    let names: Vec<&Value> = policies.list("/policies").iter().map(|policy| &policy["name"]).collect();
    assert!(names.contains(&&json!("min-max")) && names.contains(&&json!("liveness")), "{policies}");
    for policy in policies.list("/policies") {
        assert!(policy["config_schema"].is_object() && policy["digest"].is_string(), "{policy}");
    }

    let described = windlass.get("/openapi.json").await.ok();
    let seed = [
        ("/health", "get"),
        ("/start/container", "post"),
        ("/images/{image}/scale", "post"),
        ("/images/{image}/reconcile", "post"),
        ("/images/{image}/containers", "get"),
        ("/containers", "get"),
        ("/images/{image}/health", "get"),
        ("/containers/{name_or_id}", "patch"),
        ("/containers/{name_or_id}", "delete"),
        ("/images", "get"),
    ];
    for (path, method) in seed {
        assert!(described["paths"][path][method].is_object(), "{method} {path} is not described");
    }
    let page = windlass.get("/docs").await;
    assert_eq!(page.status, 200, "{page}");
    assert!(page.content_type.starts_with("text/html"), "{}", page.content_type);
    // The page for people is served next to the API.
    let page = windlass.get("/").await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"), "{page}");
    assert!(page.text("").contains("Nothing runs yet"), "{page}");
    Ok(())
}

#[tokio::test]
async fn wrong_paths_and_methods_get_the_envelope_of_every_error() -> anyhow::Result<()> {
    // The limit is small enough for the rest of the body to fit into the connection: the answer comes before the body
    // is read.
    let site = Site::new("paths").await?.set("api.body_bytes", "\"32KiB\"");
    let windlass = site.start().await?;
    insta::assert_snapshot!(windlass.get("/nowhere").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no resource at `/nowhere`; `/docs` lists every resource",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.delete("/health").await, @r#"
    405 application/problem+json
    {
      "detail": "method DELETE is not allowed here; the header `allow` lists the allowed ones",
      "status": 405,
      "title": "Method Not Allowed",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.get("/start/container").await, @r#"
    405 application/problem+json
    {
      "detail": "method GET is not allowed here; the header `allow` lists the allowed ones",
      "status": 405,
      "title": "Method Not Allowed",
      "type": "about:blank"
    }
    "#);
    let large = json!({"image": "x".repeat(40 << 10)});
    let refused = windlass.post("/start/container", large).await;
    assert_eq!((refused.status, refused.content_type.as_str()), (413, "application/problem+json"), "{refused}");
    Ok(())
}
