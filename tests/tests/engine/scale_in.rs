//! Scale-in: the choice of replicas, their protection, and the stop hook.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::response::Response;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

/// Time limit for actions of the engine.
const LIMIT: Duration = Duration::from_secs(20);

/// A start request with published ports and guardrails that allow scale-in at once.
fn quick(image: &str, min: u32, max: u32) -> Value {
    let mut body = start_body(image, min, max);
    body["guardrails"] = json!({"grace": 0, "scale_down": {"window": 0, "rates": []}});
    body
}

async fn names(windlass: &Windlass, image: &str) -> Vec<String> {
    let shown = windlass.get(&format!("/images/{image}/containers")).await.ok();
    let names = shown["containers"].as_array().into_iter().flatten().map(|it| it["name"].as_str().unwrap_or_default());
    names.map(str::to_owned).collect()
}

async fn protect(windlass: &Windlass, name: &str, is_protected: bool) {
    windlass.patch(&format!("/containers/{name}"), json!({"scale_in_protection": is_protected})).await.ok();
}

#[tokio::test]
async fn what_is_protected_is_spared_by_policies() -> anyhow::Result<()> {
    let site = Site::new("protected").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    windlass.post("/start/container", quick(image, 3, 5)).await.ok();
    let [first, second, third] = names(&windlass, image).await.try_into().expect("three");
    protect(&windlass, &first, true).await;
    protect(&windlass, &second, true).await;
    // The protection survives a restart.
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 5})).await.ok();
    windlass.put_component("/policies/one", hostile::proposes(1).build()).await.ok();
    let chosen =
        windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "one"}})).await.ok();
    assert_eq!(chosen["last_pass"]["reason"], "as told; 1 more replica stays because it is protected from scale-in");
    assert_eq!(names(&windlass, image).await, [first.clone(), second.clone()], "not {third}, which nothing protects");
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    assert_eq!(shown["observed"]["containers"][0]["scale_in_protection"], true);
    // The replica has finished its work.
    protect(&windlass, &first, false).await;
    let left = async || match names(&windlass, image).await {
        names if names == [second.clone()] => Ok(()),
        names => Err(format!("{names:?}")),
    };
    eventually("the unprotected replica to be removed", LIMIT, left).await;
    Ok(())
}

#[tokio::test]
async fn a_policy_says_itself_what_is_to_be_spared() -> anyhow::Result<()> {
    let site = Site::new("protecting").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", quick(image, 3, 5)).await.ok();
    let there = names(&windlass, image).await;
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 5})).await.ok();
    // A failed protection call prevents the scale-in.
    windlass.put_component("/policies/spares", hostile::protects(None).build()).await.ok();
    let path = format!("/images/{image}/policy");
    let chosen = windlass.put(&path, json!({"scaling_policy": {"name": "spares"}})).await.ok();
    let reason = chosen["last_pass"]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("held at 3: scaling policy `spares` is unavailable (trap: "), "{reason}");
    windlass.put_component("/policies/spares", hostile::protects(Some(1)).build()).await.ok();
    windlass.post(&format!("/images/{image}/reconcile"), json!({})).await.ok();
    assert_eq!(names(&windlass, image).await, [there[1].clone()], "of {there:?}");
    let decisions = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    assert_eq!(decisions["decisions"][0]["scaling"]["protected"].as_array().map(Vec::len), Some(1), "{decisions}");
    Ok(())
}

#[tokio::test]
async fn a_label_protects_what_is_created_with_it() -> anyhow::Result<()> {
    let site = Site::new("protected-label").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = quick(image, 2, 5);
    body["labels"] = json!({"windlass.scale-in-protection": "true"});
    windlass.post("/start/container", body.clone()).await.ok();
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 5})).await.ok();
    windlass.put_component("/policies/one", hostile::proposes(1).build()).await.ok();
    windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "one"}})).await.ok();
    assert_eq!(names(&windlass, image).await.len(), 2);
    // An operator's bounds override the protection.
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 1})).await.ok();
    assert_eq!(names(&windlass, image).await.len(), 1);
    body["labels"] = json!({"windlass.scale-in-protection": "yes", "windlass.mine": "1"});
    let refused = windlass.post("/start/container", body).await;
    assert_eq!(refused.status, 422);
    let detail = refused.text("/detail");
    assert!(detail.contains("/labels/windlass.scale-in-protection: expected `true` or `false`"), "{detail}");
    assert!(detail.contains("labels that begin with `windlass.` are reserved for windlass"), "{detail}");
    Ok(())
}

#[tokio::test]
async fn a_replica_is_told_before_it_is_stopped_and_waited_for() -> anyhow::Result<()> {
    let site = Site::new("stop-hook").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = quick(image, 1, 2);
    body["ports"] = json!({"80/tcp": 0});
    let drain = "touch /www/draining; while [ ! -e /tmp/done ]; do sleep 0.1; done";
    body["stop_hook"] = json!({"exec": {"command": ["sh", "-c", drain]}, "timeout": "1m"});
    let started = windlass.post("/start/container", body.clone()).await.ok();
    let (name, id) = (started["name"].clone(), started["container_id"].as_str().expect("an id").to_owned());
    let port = started["ports"]["80/tcp"][0]["HostPort"].as_str().expect("a port").to_owned();

    let path = format!("/containers/{}", name.as_str().expect("a name"));
    let url = format!("http://127.0.0.1:{port}/draining");
    let stopping = windlass.patch(&path, json!({"status": "stopped"}));
    let finishing = async {
        let draining = async || match Response::of(&url).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        };
        // The replica serves while Windlass waits; only therefore can it finish.
        eventually("the hook runs, and the replica still serves", LIMIT, draining).await;
        site.engine().exec(&id, &["sh", "-c", "touch /tmp/done"]).await
    };
    let (stopped, finished) = tokio::join!(stopping, finishing);
    finished?;
    assert_eq!(stopped.ok()["status"], "exited");

    // A hook that does not end is waited for until its timeout, and the replica is stopped all the same.
    body["stop_hook"] = json!({"exec": {"command": ["sh", "-c", "sleep 1000"]}, "timeout": "50ms"});
    body["min_replicas"] = json!(2);
    windlass.post("/start/container", body).await.ok();
    let shrunk =
        windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 1})).await.ok();
    assert_eq!(shrunk["actions"][0]["action"], "remove", "{shrunk}");
    let reason = shrunk["actions"][0]["details"]["reason"].to_string();
    assert!(reason.contains("its stop hook failed: the command did not end within 50 ms"), "{shrunk}");
    assert!(windlass.log().contains("the stop hook failed"), "{}", windlass.log());
    Ok(())
}

#[tokio::test]
async fn a_replica_is_told_over_http_who_it_is_and_why_it_goes() -> anyhow::Result<()> {
    let site = Site::new("http-hook").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = quick(image, 1, 2);
    body["ports"] = json!({"80/tcp": 0});
    // The container records the request it receives, and answers when it has finished.
    let script = "trap 'exit 0' TERM; mkdir /www/cgi-bin; cat > /www/cgi-bin/drain <<'E'\n#!/bin/sh\n\
        echo \"$REQUEST_METHOD $CONTENT_TYPE $(cat)\" > /tmp/told; mv /tmp/told /www/told\n\
        while [ ! -e /tmp/done ]; do sleep 0.1; done; printf '\\r\\n'\nE\n\
        chmod +x /www/cgi-bin/drain; httpd -f -p 80 -h /www & wait";
    body["command"] = json!(["sh", "-c", script]);
    body["stop_hook"] = json!({"http": {"port": 80, "path": "/cgi-bin/drain"}, "timeout": "1m"});
    let started = windlass.post("/start/container", body).await.ok();
    let id = started["container_id"].as_str().expect("an id").to_owned();
    let port = started["ports"]["80/tcp"][0]["HostPort"].as_str().expect("a port").to_owned();

    let path = format!("/containers/{}", started["name"].as_str().expect("a name"));
    let url = format!("http://127.0.0.1:{port}/told");
    // A container runs before the server in it listens.
    eventually("the server to listen", LIMIT, async || Response::of(&url).await.map_err(|error| format!("{error:?}")))
        .await;
    let stopping = windlass.patch(&path, json!({"status": "stopped"}));
    let finishing = async {
        let told = eventually("the hook's request", LIMIT, async || match Response::of(&url).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            other => Err(format!("{other:?}")),
        });
        let told = told.await;
        site.engine().exec(&id, &["sh", "-c", "touch /tmp/done"]).await.map(|()| told)
    };
    let (stopped, told) = tokio::join!(stopping, finishing);
    assert_eq!(stopped.ok()["status"], "exited");
    let told = told?;
    let told = told.as_str().expect("a text").trim_end();
    let told = told.strip_prefix("POST application/json ").expect(told);
    let expected =
        json!({"image": image, "container_id": id, "name": started["name"], "reason": "an operator stops it"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(told)?, expected);
    Ok(())
}

#[tokio::test]
async fn a_replica_cannot_send_its_stop_hook_to_windlass_itself() -> anyhow::Result<()> {
    let site = Site::new("hook-redirect").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    for count in [1, 2] {
        windlass.put_component("/policies/queue", hostile::proposes(count).build()).await.ok();
    }
    let mut body = quick(image, 1, 2);
    body["ports"] = json!({"80/tcp": 0});
    // Status 307 repeats the request with its method and body: followed, it would roll the policy back.
    let rollback = format!("http://{}/policies/queue/rollback", windlass.address());
    let script = format!(
        "trap 'exit 0' TERM; mkdir /www/cgi-bin; cat > /www/cgi-bin/drain <<'E'\n#!/bin/sh\n\
         printf 'Status: 307 Temporary Redirect\\r\\nLocation: {rollback}\\r\\n\\r\\n'\nE\n\
         chmod +x /www/cgi-bin/drain; httpd -f -p 80 -h /www & wait"
    );
    body["command"] = json!(["sh", "-c", script]);
    body["stop_hook"] = json!({"http": {"port": 80, "path": "/cgi-bin/drain"}, "timeout": "1m"});
    let started = windlass.post("/start/container", body).await.ok();
    let port = started["ports"]["80/tcp"][0]["HostPort"].as_str().expect("a port").to_owned();
    let url = format!("http://127.0.0.1:{port}/");
    eventually("the server to listen", LIMIT, async || Response::of(&url).await.map_err(|error| format!("{error:?}")))
        .await;
    let path = format!("/containers/{}", started["name"].as_str().expect("a name"));
    windlass.patch(&path, json!({"status": "stopped"})).await.ok();
    let log = windlass.log();
    assert!(log.contains("status 307 Temporary Redirect, a redirect, which is not followed"), "{log}");
    let policy = windlass.get("/policies/queue").await.ok();
    assert_eq!(policy["acting"], 2, "{policy}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_stop_hook_is_told_with_its_place() -> anyhow::Result<()> {
    let site = Site::new("wrong-stop-hook").await?;
    let windlass = site.start().await?;
    for (wrong, place) in [
        (json!({}), "/stop_hook: a stop hook has `http`"),
        (json!({"http": {"port": 0}}), "/stop_hook/http/port: expected a whole number from 1 to 65535"),
        (json!({"http": {"port": 80, "path": "drain"}}), "/stop_hook/http/path: expected a path that begins with `/`"),
        (json!({"exec": {"command": []}}), "/stop_hook/exec/command: expected a program and its arguments"),
        (json!({"exec": {"command": ["true"]}, "timeout": "2m"}), "/stop_hook/timeout: expected 10 ms to 1 min"),
    ] {
        let mut body = start_body("any:1", 1, 1);
        body["stop_hook"] = wrong;
        let refused = windlass.post("/start/container", body).await;
        assert_eq!(refused.status, 422, "{refused}");
        assert!(refused.text("/detail").contains(place), "{refused}");
    }
    Ok(())
}
