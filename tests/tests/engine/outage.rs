//! An engine that goes away and comes back: Windlass reports it, and continues by itself.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::private_engine::PrivateEngine;
use windlass_tests::site::{Site, start_body};
use windlass_tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_engine_stopped_and_started_again_needs_no_restart_of_windlass() -> anyhow::Result<()> {
    let mut engine = PrivateEngine::start().await?;
    let outside = engine.engine().await?;
    let image = outside.prepare(Fixture::Web).await?;
    let site = Site::on(outside.clone(), "outage")?.set("control.interval", "\"1s\"");
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 2)).await.ok();

    engine.stop().await?;
    let said = eventually("windlass to say that the engine is gone", LIMIT, async || {
        let ready = windlass.get("/ready").await;
        if ready.status == 503 { Ok(ready) } else { Err(ready.to_string()) }
    })
    .await;
    assert!(said.body.to_string().contains("engine"), "{said}");
    // Windlass answers from its last observation, and reports why it cannot act.
    assert_eq!(windlass.get("/containers").await.list("/containers").len(), 2);
    assert_eq!(windlass.get("/health").await.ok(), json!({"ok": true}));
    let reconciled = windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await;
    assert_eq!((reconciled.status, reconciled.content_type.as_str()), (503, "application/problem+json"));

    engine.resume().await?;
    eventually("windlass to be ready again", LIMIT, async || {
        let ready = windlass.get("/ready").await;
        if ready.status == 200 { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    // The engine stopped the containers with itself; they are wanted, so they run again.
    eventually("both replicas to run again", LIMIT, async || {
        let running = outside.running(site.instance()).await.map_err(|error| error.to_string())?;
        if running.len() == 2 { Ok(()) } else { Err(format!("{running:?}")) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn windlass_starts_before_its_engine_does() -> anyhow::Result<()> {
    let mut engine = PrivateEngine::start().await?;
    let outside = engine.engine().await?;
    let image = outside.prepare(Fixture::Web).await?;
    engine.stop().await?;
    let site = Site::on(outside, "early")?;
    let windlass = site.start().await?;
    let refused = windlass.post("/start/container", start_body(image, 1, 1)).await;
    assert_eq!((refused.status, refused.content_type.as_str()), (503, "application/problem+json"), "{refused}");
    engine.resume().await?;
    eventually("windlass to be ready", LIMIT, async || {
        let ready = windlass.get("/ready").await;
        if ready.status == 200 { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    Ok(())
}
