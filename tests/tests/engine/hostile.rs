//! Hostile policies pushed to a running Windlass: its memory returns to the level before.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, SystemTime};
use windlass_builtin::MIN_MAX;
use windlass_tests::engine_proxy::{EngineProxy, Treatment};
use windlass_tests::hostile::{self, Expect};
use windlass_tests::images::Fixture;
use windlass_tests::memory::resident;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

/// Pushes each hostile component to a running Windlass, lets it decide about a workload if it loads, and deletes it.
/// Returns the number of components that were rejected, and of those that were called.
async fn push_all(windlass: &Windlass, image: &str) -> (usize, usize) {
    let (mut refused, mut asked) = (0, 0);
    for hostile in hostile::all() {
        let pushed = windlass.put_component("/policies/hostile", hostile.bytes).await;
        let which = match hostile.expect {
            Expect::NotLoaded(_) => {
                assert_eq!(pushed.status, 422, "{}: {pushed}", hostile.name);
                refused += 1;
                continue;
            }
            Expect::Scaling(..) | Expect::Configure(..) | Expect::Protect(..) | Expect::Harmless => "scaling_policy",
            Expect::Health(..) => "health_policy",
        };
        assert_eq!(pushed.status, 200, "{}: {pushed}", hostile.name);
        let policy = format!("/images/{image}/policy");
        let chosen = windlass.put(&policy, json!({which: {"name": "hostile"}})).await;
        if let Expect::Configure(_, part) = hostile.expect {
            assert_eq!(chosen.status, 422, "{}: {chosen}", hostile.name);
            assert!(chosen.to_string().contains(part), "{}: {chosen}", hostile.name);
        } else {
            let shown = chosen.ok();
            assert_eq!(shown["observed"]["running"], 2, "{}: the replicas keep running: {shown}", hostile.name);
            windlass.put(&policy, json!({which: null})).await.ok();
        }
        windlass.delete("/policies/hostile").await.ok();
        asked += 1;
    }
    let large = windlass.put_component("/policies/hostile", hostile::padded(MIN_MAX, 100 << 20)).await;
    assert_eq!(large.status, 413, "{large}");
    (refused, asked)
}

#[tokio::test]
async fn the_memory_of_a_serving_windlass_returns_to_where_it_was() -> anyhow::Result<()> {
    /// Bytes that two rounds may leave, for the allocator's caches. A single policy may have 64 MiB.
    const SLACK: u64 = 24 << 20;
    let site = Site::new("hostile").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 5)).await.ok();
    // The first round fills caches, which stay.
    let (refused, asked) = push_all(&windlass, image).await;
    assert!(refused > 20 && asked > 20, "{refused} {asked}");
    let before = resident(windlass.pid())?;
    push_all(&windlass, image).await;
    push_all(&windlass, image).await;
    let after = resident(windlass.pid())?;
    assert!(after < before + SLACK, "the process held {before} bytes and holds {after} after two more rounds");
    Ok(())
}

#[tokio::test]
async fn a_folder_of_components_that_compile_for_long_delays_neither_the_api_nor_the_passes() -> anyhow::Result<()> {
    let site = Site::new("slow-folder").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let folder = site.folder().join("policies");
    std::fs::create_dir(&folder)?;
    let component = hostile::compiles_long(300, 12_000);
    for name in ["first", "second"] {
        let mut file = std::fs::File::create(folder.join(format!("{name}.wasm")))?;
        file.write_all(&component)?;
        // A file that has just changed may not be complete, and would be left for the next look.
        file.set_modified(SystemTime::now() - Duration::from_secs(60))?;
    }
    let site = site.set("policy.folder", &json!(folder).to_string());
    // The built-in policies are compiled too, with the limit of all.
    let site = site.set("policies.first.compile_time", "\"2s\"").set("policies.second.compile_time", "\"2s\"");
    let windlass = site.begin_with(&["--listen", "127.0.0.1:0"]).await?;
    assert_eq!(windlass.get("/health").await.ok(), json!({"ok": true}));
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    assert!(!windlass.log().contains("every policy is loaded"), "the components compiled too quickly to show anything");
    eventually("the compilers to be stopped", Duration::from_secs(60), async || {
        let problems = windlass.get("/policies").await.ok()["source_problems"].clone();
        let are_stopped = ["first", "second"].map(|name| problems[name].to_string().contains("took longer than 2 s"));
        if are_stopped == [true, true] { Ok(()) } else { Err(problems.to_string()) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn starts_that_wait_for_an_image_hold_little_memory() -> anyhow::Result<()> {
    const STARTS: usize = 30;
    /// Bytes that the starts may take together. Without limits they took 3.8 GB.
    const MOST: u64 = 400 << 20;
    let site = Site::new("hanging-pulls").await?;
    let proxy = EngineProxy::start(&site.folder().join("proxy.sock"), site.engine().host())?;
    let site = site.set("engine.host", &json!(proxy.host()).to_string());
    proxy.treat("/images/create", Treatment::Hang);
    let windlass = site.start().await?;
    let before = resident(windlass.pid())?;
    // Nearly 1 MiB each, the longest body that is accepted, in thousands of values.
    let variables: serde_json::Map<_, _> =
        (0..8_000).map(|number| (format!("VARIABLE_{number}"), json!("x".repeat(100)))).collect();
    let mut starts = FuturesUnordered::new();
    for number in 0..STARTS {
        let mut body = start_body(&format!("hanging.invalid/{number}:1"), 1, 1);
        body["env"] = json!(variables);
        let windlass = &windlass;
        starts.push(async move { windlass.post("/start/container?pull=true", body).await });
    }
    // The others wait for their image, with all that they hold.
    let refused = async {
        for _ in 0..STARTS / 2 {
            let refused = starts.next().await.expect("a response");
            assert_eq!(refused.status, 503, "{refused}");
            let detail = refused.text("/detail");
            assert_eq!(detail, "the requests in progress have too many bytes of JSON; try again");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await?;
    let held = resident(windlass.pid())?.saturating_sub(before);
    assert!(held < MOST, "the waiting starts hold {held} bytes");
    assert_eq!(windlass.get("/health").await.ok(), json!({"ok": true}));
    // The share of the starts is free again once their callers have left.
    drop(starts);
    eventually("a large start to be accepted", Duration::from_secs(60), async || {
        let mut body = start_body("hanging.invalid/wrong name", 1, 1);
        body["env"] = json!(variables);
        let answer = windlass.post("/start/container", body).await;
        if answer.status == 422 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_policy_that_logs_much_in_each_call_does_not_fill_the_log() -> anyhow::Result<()> {
    /// Its share at once is 64 KiB, and 2 KiB a second after that.
    const MOST: usize = 512 << 10;
    let site = Site::new("chatty").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    windlass.put_component("/policies/chatty", hostile::floods_log(20, 4_000).build()).await.ok();
    windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "chatty"}})).await.ok();
    for _ in 0..20 {
        windlass.post(&format!("/images/{image}/reconcile"), json!({})).await.ok();
    }
    let log = windlass.log();
    let written: usize = log.lines().filter(|line| line.contains("AAAA")).map(str::len).sum();
    assert!(written > 0 && written < MOST, "{written} bytes of 1.6 MB");
    Ok(())
}
