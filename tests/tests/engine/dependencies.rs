//! Workloads with dependencies.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(30);

async fn shown(windlass: &Windlass, name: &str) -> Value {
    windlass.get(&format!("/images/{name}")).await.ok()
}

#[tokio::test]
async fn a_workload_waits_for_what_it_depends_on_and_is_restarted_after_it() -> anyhow::Result<()> {
    let site = Site::new("depends").await?.set("control.backoff_base", "\"100ms\"");
    let image = site.engine().prepare(Fixture::SlowStart).await?;
    let windlass = site.start().await?;
    let named = |name: &str| {
        let mut body = start_body(image, 1, 1);
        body["name"] = json!(name);
        body
    };
    let mut web = named("web");
    web["depends_on"] = json!(["db"]);
    let refused = windlass.post("/start/container", web.clone()).await;
    assert_eq!(
        (refused.status, refused.text("/detail").as_str()),
        (422, "/depends_on: `db` was never started; start it first")
    );

    // The container serves after a second, and counts as starting until then.
    let mut db = named("db");
    db["env"] = json!({"DELAY": "1"});
    db["ports"] = json!({"80/tcp": 0});
    db["probe"] = json!({"http": {"port": 80, "path": "/"}, "interval": "1s", "timeout": "500ms"});
    windlass.post("/start/container", db).await.ok();
    let waits = windlass.post("/start/container", web.clone()).await;
    assert_eq!(waits.status, 202, "{waits}");
    let detail = "held at 1: dependency `db` is down; no replica is created or repaired until it is up";
    assert_eq!(waits.body, json!({"ok": true, "action": "waiting", "image": image, "detail": detail}));
    let runs = async || {
        let web = shown(&windlass, "web").await;
        match web["observed"]["containers"][0]["started_at_ms"].as_u64() {
            Some(started) if web["observed"]["running"] == 1 => Ok(started),
            _ => Err(web["last_pass"]["reason"].to_string()),
        }
    };
    let first = eventually("it is created when the other serves", LIMIT, runs).await;

    let mut circle = named("db");
    circle["depends_on"] = json!(["web"]);
    let circle = windlass.post("/start/container", circle).await;
    let why = "/depends_on: `db` cannot depend on `web`, which depends on it";
    assert_eq!((circle.status, circle.text("/detail").as_str()), (422, why));
    let refused = windlass.delete("/images/db").await;
    let why = "`web` depends on `db`; delete it first, or start it without that";
    assert_eq!((refused.status, refused.text("/detail").as_str()), (409, why));

    let db =
        shown(&windlass, "db").await["observed"]["containers"][0]["container_id"].as_str().expect("an id").to_owned();
    site.engine().kill(&db).await?;
    let restarted = async || match runs().await {
        Ok(started) if started > first => Ok(started),
        other => Err(format!("{other:?}")),
    };
    eventually("what ran without it is restarted when it is back", LIMIT, restarted).await;
    let decisions = windlass.get("/images/web/decisions?limit=10").await.ok().to_string();
    assert!(decisions.contains("dependency `db` was down and is up again"), "{decisions}");
    windlass.delete("/images/web").await.ok();
    windlass.delete("/images/db").await.ok();
    Ok(())
}
