//! Policies from an OCI registry: pulled once, pinned, and pulled again on demand.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::hostile;
use windlass_tests::registry::{PASSWORD, Registry, USER, authority};
use windlass_tests::site::{Site, Windlass};
use windlass_tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the policy, which is pulled in the background, meets a condition.
async fn fetched(windlass: &Windlass, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually("the policy", LIMIT, async || {
        let shown = windlass.get("/policies/queue").await;
        let is_there = shown.status == 200;
        let told = shown.to_string();
        if is_there && is_so(&shown.ok()) { Ok(()) } else { Err(told) }
    })
    .await;
    policy(windlass).await
}

async fn policy(windlass: &Windlass) -> Value {
    windlass.get("/policies/queue").await.ok()
}

#[tokio::test]
async fn a_reference_is_pinned_to_where_it_led_until_somebody_looks_again() -> anyhow::Result<()> {
    let registry = Registry::start(false).await?;
    let first = registry.put("team/queue", "1", &hostile::proposes(1).build()).await?;
    let origin = format!("oci://{}/team/queue:1", registry.address());
    let site = Site::new("oci").await?.set("policies.queue.source", &format!("{origin:?}"));
    let site = site.set("policies.queue.revisions_kept", "2");
    let windlass = site.start().await?;
    let shown = fetched(&windlass, |shown| shown["acting"] == 1).await;
    assert_eq!(shown["source_problem"], Value::Null, "{shown}");
    assert_eq!(shown["revisions"][0]["loaded_by"], format!("{origin} at {first}"));
    assert_eq!(shown["source"], "registry");

    // The tag moves: nothing happens, not even at a restart, until a refresh is requested.
    let second = registry.put("team/queue", "1", &hostile::proposes(2).build()).await?;
    windlass.kill()?;
    let windlass = site.start().await?;
    assert_eq!(policy(&windlass).await["revisions"].as_array().map(Vec::len), Some(1));
    let refreshed = windlass.post("/policies/queue/refresh", Value::Null).await.ok();
    assert_eq!(
        (&refreshed["acting"], &refreshed["revisions"][0]["loaded_by"]),
        (&json!(2), &json!(format!("{origin} at {second}")))
    );
    // A rollback holds while the tag points to the same component.
    windlass.post("/policies/queue/rollback", Value::Null).await.ok();
    assert_eq!(windlass.post("/policies/queue/refresh", Value::Null).await.ok()["acting"], 1);

    // An artifact without a policy is rejected with a reason, and the acting revision stays.
    let blob = registry.blob("team/queue", b"text").await?;
    let layer = |media: &str| json!({"mediaType": media, "size": 4, "digest": blob});
    for (layers, why) in [
        (vec![layer("text/plain")], "its layer is of type `text/plain`; a policy's is `application/wasm`"),
        (vec![layer("application/wasm"), layer("application/wasm")], "it has 2 layers; a policy has one"),
        (vec![layer("application/wasm")], "it is not a policy this host can run"),
    ] {
        registry.put_manifest("team/queue", "1", &layers).await?;
        let refused = windlass.post("/policies/queue/refresh", Value::Null).await;
        let detail = refused.to_string();
        assert!(detail.contains(why) || detail.contains("is text, not a WebAssembly component"), "{detail}");
        let shown = policy(&windlass).await;
        assert!(shown["acting"] == 1 && shown["source_problem"].is_string(), "{shown}");
    }
    registry.put("team/queue", "1", &hostile::proposes(3).build()).await?;
    let refreshed = windlass.post("/policies/queue/refresh", Value::Null).await.ok();
    assert_eq!((&refreshed["acting"], &refreshed["source_problem"]), (&json!(3), &Value::Null));
    // A tag that points to another policy is followed, and so is its way back.
    registry.put("team/queue", "2", &hostile::proposes(5).build()).await?;
    drop(windlass);
    let site = site.set("policies.queue.source", &format!("{:?}", origin.replace("queue:1", "queue:2")));
    let windlass = site.start().await?;
    let other = fetched(&windlass, |shown| shown["acting"] == 4).await;
    assert!(other["revisions"][0]["loaded_by"].as_str().is_some_and(|by| by.contains("queue:2 at ")), "{other}");
    drop(windlass);
    let site = site.set("policies.queue.source", &format!("{origin:?}"));
    let windlass = site.start().await?;
    let back = fetched(&windlass, |shown| shown["acting"] == 5).await;
    assert_eq!(back["digest"], refreshed["digest"]);
    // A policy pushed since then holds, however many revisions follow, also over a restart.
    for replicas in 6..9 {
        windlass.put_component("/policies/queue", hostile::proposes(replicas).build()).await.ok();
    }
    drop(windlass);
    // A component that is missing, and is pulled after the other one was looked up.
    let site = site.set("policies.zebra.source", &format!("{origin:?}"));
    let windlass = site.start().await?;
    eventually("the other to be fetched", LIMIT, async || {
        let other = windlass.get("/policies/zebra").await;
        if other.status == 200 { Ok(()) } else { Err(other.to_string()) }
    })
    .await;
    let held = policy(&windlass).await;
    assert_eq!(
        (&held["acting"], &held["source"], &held["source_problem"]),
        (&json!(8), &json!("upload"), &Value::Null)
    );
    let refused = windlass.post("/policies/min-max/refresh", Value::Null).await.to_string();
    assert!(refused.starts_with("409") && refused.contains("has no source in windlass.toml"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_asks_who_is_told_by_the_docker_configuration() -> anyhow::Result<()> {
    let registry = Registry::start(true).await?;
    let digest = registry.put("queue", "latest", &hostile::proposes(1).build()).await?;
    let configuration = tempfile::tempdir()?;
    let site = Site::new("oci-login")
        .await?
        // By its digest this time.
        .set("policies.queue.source", &format!("\"oci://{}/queue@{digest}\"", registry.address()))
        .environment("DOCKER_CONFIG", configuration.path().to_str().expect("a plain name"));
    let windlass = site.start().await?;
    eventually("the problem to be reported", LIMIT, async || {
        let listed = windlass.get("/policies").await.ok();
        let problem = listed["source_problems"]["queue"].as_str().unwrap_or_default().to_owned();
        if problem.starts_with("cannot fetch `oci://") { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    let shown = policy(&windlass).await;
    assert!(shown["source_problem"].as_str().is_some_and(|why| why.contains("Not authorized")), "{shown}");
    let logins = json!({"auths": {registry.address(): {"username": USER, "password": PASSWORD}}});
    std::fs::write(configuration.path().join("config.json"), logins.to_string())?;
    // The pull is repeated by itself; a user need not wait for it.
    eventually("the policy", LIMIT, async || {
        let refreshed = windlass.post("/policies/queue/refresh", Value::Null).await.to_string();
        if refreshed.starts_with("200") { Ok(()) } else { Err(refreshed) }
    })
    .await;
    assert_eq!(policy(&windlass).await["acting"], 1);
    assert!(!windlass.log().contains(PASSWORD));
    Ok(())
}

#[tokio::test]
async fn a_registry_with_tls_and_its_own_authority_is_trusted_when_the_authority_is() -> anyhow::Result<()> {
    let registry = Registry::start_with_tls().await?;
    registry.put("team/queue", "1", &hostile::proposes(1).build()).await?;
    let origin = format!("oci://{}/team/queue:1", registry.address());
    let site = Site::new("oci-tls").await?.set("policies.queue.source", &format!("{origin:?}"));
    let windlass = site.start().await?;
    let shown = fetched(&windlass, |shown| shown["source_problem"].is_string()).await;
    let why = shown["source_problem"].as_str().unwrap_or_default();
    for part in [&format!("cannot fetch `{origin}`: error sending request"), "UnknownIssuer", "SSL_CERT_FILE"] {
        assert!(why.contains(part), "{why}");
    }
    drop(windlass);
    let site = site.environment("SSL_CERT_FILE", authority().to_str().expect("a plain name"));
    let windlass = site.start().await?;
    let shown = fetched(&windlass, |shown| shown["acting"] == 1).await;
    assert_eq!(shown["source_problem"], Value::Null, "{shown}");
    Ok(())
}

#[tokio::test]
async fn an_index_that_leads_to_one_component_is_followed() -> anyhow::Result<()> {
    let registry = Registry::start(false).await?;
    let component = hostile::proposes(1).build();
    let policy = registry.put("team/queue", "policy", &component).await?;
    let text = registry.blob("team/queue", b"text").await?;
    let attestation = [json!({"mediaType": "application/vnd.in-toto+json", "size": 4, "digest": text})];
    let attestation = registry.put_manifest("team/queue", "attestation", &attestation).await?;
    let (policy, attestation) =
        (registry.entry("team/queue", &policy).await?, registry.entry("team/queue", &attestation).await?);
    let index = registry.put_index("team/queue", "1", &[attestation.clone(), policy.clone()]).await?;
    let origin = format!("oci://{}/team/queue:1", registry.address());
    let site = Site::new("oci-index").await?.set("policies.queue.source", &format!("{origin:?}"));
    let windlass = site.start().await?;
    let shown = fetched(&windlass, |shown| shown["acting"] == 1).await;
    // The index is pinned, and so is all that it leads to.
    assert_eq!(shown["revisions"][0]["loaded_by"], format!("{origin} at {index}"));

    let other = registry.put("team/queue", "other", &hostile::proposes(2).build()).await?;
    let other = registry.entry("team/queue", &other).await?;
    let several = format!(
        "its index leads to 2 components; name the digest of one: `{}`",
        policy["digest"].as_str().expect("text")
    );
    for (manifests, why) in [
        (vec![policy, other], several.as_str()),
        (vec![attestation], "none of the 1 manifests of its index has a layer of type application/wasm"),
    ] {
        registry.put_index("team/queue", "1", &manifests).await?;
        let refused = windlass.post("/policies/queue/refresh", Value::Null).await.to_string();
        assert!(refused.starts_with("502") && refused.contains(why), "{refused}");
    }
    Ok(())
}
