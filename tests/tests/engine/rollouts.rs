//! Rollouts on a real engine: changed specifications, the return to the generation before, moved tags, and wishes that
//! the engine refuses.

use bollard::query_parameters::{PushImageOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::registry::Registry;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::running;

/// Time limit, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(90);

/// The environment of every running container of a site, by the variable `VERSION`.
async fn versions(site: &Site) -> Result<Vec<String>, String> {
    let ids = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
    let mut versions = Vec::new();
    for id in ids {
        let inspected = site.engine().docker().inspect_container(&id, None).await.map_err(|error| error.to_string())?;
        let env = inspected.config.and_then(|config| config.env).unwrap_or_default();
        versions.extend(env.iter().find_map(|pair| pair.strip_prefix("VERSION=")).map(str::to_owned));
    }
    Ok(versions)
}

async fn all_are(site: &Site, windlass: &Windlass, version: &str, count: usize) {
    eventually(&format!("{count} replicas of version {version}"), LIMIT, async || {
        let found = versions(site).await?;
        let view = windlass.get("/images/web").await.ok();
        let is_done = view["rollout"]["state"] == "done" && view["observed"]["outdated"] == 0;
        if is_done && found == vec![version.to_owned(); count] { Ok(()) } else { Err(format!("{found:?}\n{view:#}")) }
    })
    .await;
}

/// A workload `web` with this version in its environment.
fn body(image: &str, version: &str, replicas: u32) -> Value {
    let mut body = start_body(image, replicas, replicas);
    body["name"] = json!("web");
    body["env"] = json!({"VERSION": version});
    body["resources"]["cpu"] = json!("0.1");
    body["rollout"] = json!({"min_ready": "1s"});
    body
}

#[tokio::test]
async fn a_changed_environment_is_rolled_out_and_the_generation_before_returns() -> anyhow::Result<()> {
    let site = Site::new("rolling").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    windlass.post("/start/container", body(image, "1", 2)).await.ok();
    all_are(&site, &windlass, "1", 2).await;
    let refused = windlass.post("/images/web/rollback", json!({})).await;
    assert_eq!(refused.status, 409, "{refused}");
    assert!(refused.text("/detail").contains("no generation before"), "{refused}");

    let first = windlass.get("/images/web").await.ok()["rollout"]["generation"].clone();
    windlass.post("/start/container", body(image, "2", 2)).await.ok();
    all_are(&site, &windlass, "2", 2).await;
    let view = windlass.get("/images/web").await.ok();
    assert_eq!((&view["rollout"]["previous"], &view["alerts"]), (&first, &json!([])), "{view:#}");
    let metrics = windlass.get("/metrics").await;
    assert!(metrics.to_string().contains("windlass_outdated_replicas{workload=\"web\"} 0"), "{metrics}");

    windlass.terminate().await?;
    let windlass = site.start().await?;
    let view = windlass.post("/images/web/rollback", json!({})).await.ok();
    assert_eq!((&view["rollout"]["generation"], &view["desired"]["env"]["VERSION"]), (&first, &json!("1")), "{view:#}");
    all_are(&site, &windlass, "1", 2).await;
    Ok(())
}

#[tokio::test]
async fn a_moved_tag_is_noticed_on_request_and_never_by_itself() -> anyhow::Result<()> {
    let site = Site::new("moved").await?;
    let (one, other) = (site.engine().prepare(Fixture::Web).await?, site.engine().prepare(Fixture::SlowStart).await?);
    let id_of = async |image: &str| -> anyhow::Result<Option<String>> {
        Ok(site.engine().docker().inspect_image(image).await?.id)
    };
    let repository = format!("windlass-tests/{}", site.instance());
    let image = format!("{repository}:1");
    let tag = async |from: &str| {
        let options = TagImageOptionsBuilder::new().repo(&repository).tag("1").build();
        site.engine().docker().tag_image(from, Some(options)).await
    };
    tag(one).await?;
    let windlass = site.start().await?;
    let images = async || -> Vec<Value> {
        let view = windlass.get("/images/web").await.ok();
        view["observed"]["containers"].as_array().into_iter().flatten().map(|it| it["image_id"].clone()).collect()
    };
    let body = body(&image, "1", 1);
    windlass.post("/start/container", body.clone()).await.ok();
    assert_eq!(images().await, [json!(id_of(one).await?)]);

    tag(other).await?;
    windlass.post("/start/container", body.clone()).await.ok();
    windlass.post("/start/container?pull=false", body.clone()).await.ok();
    assert_eq!(images().await, [json!(id_of(one).await?)], "without a request, nothing changes");
    let view = windlass.get("/images/web").await.ok();
    assert_eq!((&view["observed"]["outdated"], &view["rollout"]["previous"]), (&json!(0), &Value::Null), "{view:#}");

    windlass.post("/start/container?pull=true", body.clone()).await.ok();
    let wanted = id_of(other).await?;
    eventually("the replica of the other image", LIMIT, async || {
        let found = images().await;
        if found == [json!(wanted)] { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
    })
    .await;
    let generation = windlass.get("/images/web").await.ok()["rollout"]["generation"].clone();
    windlass.post("/start/container?pull=true", body).await.ok();
    assert_eq!(windlass.get("/images/web").await.ok()["rollout"]["generation"], generation, "nothing is new");

    // The image from before returns, although its tag leads elsewhere.
    windlass.post("/images/web/rollback", json!({})).await.ok();
    let wanted = id_of(one).await?;
    eventually("the replica of the first image", LIMIT, async || {
        let found = images().await;
        if found == [json!(wanted)] { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
    })
    .await;
    windlass.delete("/images/web").await.ok();
    let removed = site.engine().docker().remove_image(&image, None::<RemoveImageOptions>, None).await;
    assert!(removed.is_ok(), "{removed:?}");
    Ok(())
}

#[tokio::test]
async fn a_start_that_cannot_be_is_refused_or_says_that_it_is_kept() -> anyhow::Result<()> {
    let site = Site::new("impossible").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    for (field, value, pointer) in
        [("cpu", "0.005", "/resources/cpu"), ("cpu", "1000", "/resources/cpu"), ("memory", "5m", "/resources/memory")]
    {
        let mut wrong = body(image, "1", 1);
        wrong["resources"][field] = json!(value);
        let refused = windlass.post("/start/container", wrong).await;
        assert_eq!((refused.status, refused.text("/errors/0/pointer").as_str()), (422, pointer), "{value}: {refused}");
        assert_eq!(windlass.get("/images/web").await.status, 404, "{value} is not stored");
    }
    let unpulled = windlass.post("/start/container?pull=true", body("127.0.0.1:1/absent:1", "1", 1)).await;
    assert_eq!(unpulled.status, 400, "{unpulled}");
    assert_eq!(windlass.get("/images/web").await.status, 404, "nothing is stored");

    windlass.post("/start/container", body(image, "1", 1)).await.ok();
    let before = running(&site, 1).await?;
    let mut wrong = body(image, "2", 1);
    wrong["networks"] = json!(["windlass-no-such-network"]);
    let refused = windlass.post("/start/container", wrong).await;
    let detail = refused.text("/detail");
    assert_eq!(refused.status, 400, "{refused}");
    assert!(detail.contains("network `windlass-no-such-network` not found"), "{detail}");
    assert!(detail.contains("the new desired state is kept and the existing replicas stay"), "{detail}");
    assert_eq!(running(&site, 1).await?, before);

    // The replica still heals: by one of the generation before.
    site.engine().kill(&before[0]).await?;
    eventually("another replica of version 1", LIMIT, async || {
        let (now, versions) = (running_now(&site).await?, versions(&site).await?);
        if now != before && versions == ["1"] { Ok(()) } else { Err(format!("{now:?} {versions:?}")) }
    })
    .await;
    Ok(())
}

async fn running_now(site: &Site) -> Result<Vec<String>, String> {
    site.engine().running(site.instance()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn one_image_is_one_workload_however_it_is_written() -> anyhow::Result<()> {
    let site = Site::new("spelling").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    let full = format!("docker.io/{image}");
    let again = windlass.post("/start/container", start_body(&full, 1, 1)).await.ok();
    assert_eq!((&again["action"], &again["image"]), (&json!("kept-existing"), &json!(full)), "{again}");
    assert_eq!(windlass.get("/images").await.list("/images").len(), 1);
    let view = windlass.get(&format!("/images/{full}")).await.ok();
    assert_eq!((&view["image"], &view["observed"]["outdated"]), (&json!(image), &json!(0)), "{view:#}");
    windlass.get(&format!("/images/{full}/decisions")).await.ok();
    windlass.delete(&format!("/images/{full}")).await.ok();
    assert!(site.engine().containers(site.instance()).await?.is_empty());
    assert_eq!(windlass.get(&format!("/images/{image}")).await.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_new_image_in_a_registry_is_pulled_on_request() -> anyhow::Result<()> {
    let registry = Registry::start(false).await?;
    let site = Site::new("pulled").await?;
    let docker = site.engine().docker();
    let (one, other) = (site.engine().prepare(Fixture::Web).await?, site.engine().prepare(Fixture::SlowStart).await?);
    let id_of = async |image: &str| -> anyhow::Result<Option<String>> { Ok(docker.inspect_image(image).await?.id) };
    let repository = format!("{}/team/web", registry.address());
    let image = format!("{repository}:1");
    let tag = async |from: &str| {
        let options = TagImageOptionsBuilder::new().repo(&repository).tag("1").build();
        docker.tag_image(from, Some(options)).await
    };
    let push = async |from: &str| -> anyhow::Result<()> {
        tag(from).await?;
        let options = PushImageOptionsBuilder::new().tag("1").build();
        docker.push_image(&repository, Some(options), None).try_collect::<Vec<_>>().await?;
        Ok(())
    };
    push(other).await?;
    push(one).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container?pull=true", body(&image, "1", 1)).await.ok();
    let image_id = async || windlass.get("/images/web").await.ok()["observed"]["containers"][0]["image_id"].clone();
    assert_eq!(image_id().await, json!(id_of(one).await?));

    // The registry has another image; this engine still has the first one under the tag.
    push(other).await?;
    tag(one).await?;
    windlass.post("/start/container", body(&image, "1", 1)).await.ok();
    assert_eq!(image_id().await, json!(id_of(one).await?), "never by itself");
    windlass.post("/start/container?pull=true", body(&image, "1", 1)).await.ok();
    let wanted = id_of(other).await?;
    eventually("the replica of the pulled image", LIMIT, async || {
        let view = windlass.get("/images/web").await.ok();
        let containers = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
        let is_new = containers.len() == 1 && containers[0]["image_id"] == json!(wanted);
        if is_new { Ok(()) } else { Err(format!("{view:#}")) }
    })
    .await;

    // A registry that is away: nothing is stored, although the engine has an image of this name.
    let generation = windlass.get("/images/web").await.ok()["rollout"]["generation"].clone();
    drop(registry);
    let refused = windlass.post("/start/container?pull=true", body(&image, "2", 1)).await;
    assert_eq!(refused.status, 400, "{refused}");
    assert_eq!(windlass.get("/images/web").await.ok()["rollout"]["generation"], generation);
    windlass.delete("/images/web").await.ok();
    let removed = docker.remove_image(&image, None::<RemoveImageOptions>, None).await;
    assert!(removed.is_ok(), "{removed:?}");
    Ok(())
}
