//! The lists of replicas for balancers and Prometheus, and the metrics of Windlass itself.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_tests::callback::Callback;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::response::client;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

/// Time limit for actions of the engine.
const LIMIT: Duration = Duration::from_secs(30);

/// Time limit for Windlass to notice a change and react.
const SOON: Duration = Duration::from_secs(30);

/// Starts a workload of web servers with a probe and a free port.
async fn web(site: &Site, windlass: &Windlass, replicas: u32) -> anyhow::Result<&'static str> {
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut body = start_body(image, replicas, 5);
    body["ports"] = json!({"80/tcp": 0, "53/udp": 0});
    body["labels"] = json!({"com.example.team": "shop"});
    body["probe"] = json!({"http": {"port": 80, "path": "/"}, "interval": "1s"});
    windlass.post("/start/container", body).await.ok();
    Ok(image)
}

async fn groups(windlass: &Windlass, query: &str) -> Vec<Value> {
    let answer = windlass.get(&format!("/discovery/prometheus{query}")).await;
    answer.ok().as_array().expect("a list").clone()
}

/// Waits until a number of targets is ready, and returns their addresses.
async fn ready(windlass: &Windlass, count: usize) -> Vec<String> {
    eventually("so many ready targets", SOON, async || {
        let groups = groups(windlass, "?ready=true").await;
        let told = |group: &Value| group["targets"][0].as_str().expect("an address").to_owned();
        if groups.len() == count { Ok(groups.iter().map(told).collect()) } else { Err(format!("{groups:?}")) }
    })
    .await
}

/// The values of `GET /metrics` by name and labels, after a check of the format.
async fn figures(windlass: &Windlass) -> anyhow::Result<BTreeMap<String, f64>> {
    let response = client().get(format!("http://{}/metrics", windlass.address())).send().await?;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await?;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| Ok((name.to_owned(), value.parse()?))).expect(line))
        .collect()
}

#[tokio::test]
async fn every_port_of_every_running_replica_is_told_to_prometheus() -> anyhow::Result<()> {
    let site = Site::new("discovery").await?;
    let windlass = site.start().await?;
    assert_eq!(groups(&windlass, "").await, Vec::<Value>::new());
    let image = web(&site, &windlass, 2).await?;
    for address in ready(&windlass, 2).await {
        let answer = client().get(format!("http://{address}/")).send().await?;
        assert!(answer.status().is_success(), "{address}");
    }
    // Replicas that have just started have no readiness yet.
    let mut shown = eventually("both to be found well", LIMIT, async || {
        let shown = groups(&windlass, "?port=80").await;
        let well = shown.iter().filter(|group| group["labels"]["__meta_windlass_health"] == "healthy").count();
        if well == 2 { Ok(shown) } else { Err(format!("{shown:?}")) }
    })
    .await;
    shown.sort_by_key(|group| group["labels"]["__meta_windlass_slot"].to_string());
    let mut labels = shown[0]["labels"].clone();
    assert!(labels["__meta_windlass_container_id"].as_str().is_some_and(|id| id.len() == 64), "{labels}");
    assert!(labels["__meta_windlass_container"].as_str().is_some_and(|name| !name.is_empty()), "{labels}");
    for own in ["__meta_windlass_container_id", "__meta_windlass_container"] {
        labels.as_object_mut().expect("labels").remove(own);
    }
    let expected = json!({
        "__meta_windlass_health": "healthy",
        "__meta_windlass_image": image,
        "__meta_windlass_label_com_example_team": "shop",
        "__meta_windlass_port": "80",
        "__meta_windlass_ready": "true",
        "__meta_windlass_slot": "1",
        "__meta_windlass_workload": image,
    });
    assert_eq!(labels, expected);
    assert_eq!(groups(&windlass, &format!("?workload={image}")).await.len(), 2);
    assert_eq!(groups(&windlass, "?workload=another").await.len(), 0);
    assert_eq!(groups(&windlass, "?port=53").await.len(), 0);
    for (query, detail) in [
        ("?port=http", "/query/port: expected a port, 1 to 65535"),
        ("?ready=maybe", "/query/ready: expected `true` or `false`"),
        ("?redy=1", "/query/redy: unknown query parameter; did you mean `ready`?"),
    ] {
        let refused = windlass.get(&format!("/discovery/prometheus{query}")).await;
        assert_eq!((refused.status, refused.text("/detail")), (422, detail.to_owned()));
    }
    // A held replica is not a target.
    let name = shown[0]["labels"]["__meta_windlass_container"].as_str().expect("a name");
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 5})).await.ok();
    windlass.patch(&format!("/containers/{name}"), json!({"status": "stopped"})).await.ok();
    assert_eq!(groups(&windlass, "").await.len(), 1);
    Ok(())
}

#[tokio::test]
async fn published_ports_are_told_at_the_address_that_is_set() -> anyhow::Result<()> {
    let site = Site::new("discovery-address").await?.set("discovery.address", r#""localhost""#);
    let windlass = site.start().await?;
    web(&site, &windlass, 1).await?;
    let address = ready(&windlass, 1).await.remove(0);
    assert!(address.starts_with("localhost:"), "{address}");
    assert!(client().get(format!("http://{address}/")).send().await?.status().is_success(), "{address}");
    Ok(())
}

#[tokio::test]
async fn what_windlass_does_is_told_in_figures() -> anyhow::Result<()> {
    let site = Site::new("figures").await?.environment("WINDLASS_TOKEN", "0123456789abcdef");
    let windlass = site.start().await?;
    assert_eq!(windlass.get("/metrics").await.status, 401, "they are nothing for strangers");
    drop(windlass);

    let site = Site::new("figures").await?;
    let windlass = site.start().await?;
    let image = web(&site, &windlass, 2).await?;
    ready(&windlass, 2).await;
    let first = figures(&windlass).await?;
    let of = |name: &str, more: &str| format!("windlass_{name}{{workload=\"{image}\"{more}}}");
    for (name, expected) in [
        ("min_replicas", 2.0),
        ("max_replicas", 5.0),
        ("proposed_replicas", 2.0),
        ("target_replicas", 2.0),
        ("current_replicas", 2.0),
        ("ready_replicas", 2.0),
        ("failed_metrics", 0.0),
        ("heals_total", 0.0),
    ] {
        assert_eq!(first.get(&of(name, "")), Some(&expected), "{name}: {first:?}");
    }
    assert_eq!(first["windlass_engine_up"], 1.0);
    assert_eq!(first[&of("policy_answered", ",kind=\"scaling\"")], 1.0);
    assert_eq!(first[&of("actions_total", ",action=\"create\",outcome=\"done\"")], 2.0);
    assert!((0.0..60.0).contains(&first[&of("last_pass_age_seconds", "")]), "{first:?}");

    // A replica that dies is replaced and counted.
    let name =
        groups(&windlass, "").await[0]["labels"]["__meta_windlass_container"].as_str().expect("a name").to_owned();
    site.engine().kill(&name).await?;
    let calls = "windlass_policy_call_seconds_count{policy=\"min-max\",kind=\"scaling\"}";
    let passes = of("passes_total", ",outcome=\"done\"");
    eventually("the heal to be counted", SOON, async || {
        let now = figures(&windlass).await.map_err(|error| error.to_string())?;
        let grown = |name: &str| now[name] > first[name];
        let healed = now[&of("heals_total", "")] >= 1.0;
        if healed && grown(calls) && grown(&passes) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;

    windlass.put_component("/policies/broken", hostile::recurses(1_000_000).build()).await.ok();
    let chosen = json!({"scaling_policy": {"name": "broken"}});
    windlass.put(&format!("/images/{image}/policy"), chosen).await.ok();
    let last = figures(&windlass).await?;
    let failures = "windlass_policy_failures_total{policy=\"broken\",kind=\"scaling\",failure=\"trap\"}";
    assert!(last[failures] >= 1.0, "{last:?}");
    assert_eq!(last[&of("policy_answered", ",kind=\"scaling\"")], 0.0);
    assert!(!last.contains_key(&of("proposed_replicas", "")), "no answer is no zero: {last:?}");
    Ok(())
}

/// The addresses in a file, one a line after the first line.
fn listed(file: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn those_who_send_requests_are_told_first_that_a_replica_leaves() -> anyhow::Result<()> {
    let site = Site::new("balancer").await?;
    let callback = Callback::listen().await?;
    let (site, file) = list_to(site)?;
    let folder = site.folder().to_owned();
    let ran = folder.join("ran");
    // Records which replicas of the list answer at the notification: a replica that was stopped before it would not.
    // The first run fails.
    let script = format!(
        "test -e {ran} || {{ touch {ran}; exit 1; }}; tail -n +2 {list} | wc -l >> {ran}; \
         for address in $(tail -n +2 {before} 2>/dev/null); do \
         (exec 3<>/dev/tcp/${{address%:*}}/${{address#*:}}) 2>/dev/null || echo stopped too early >> {ran}; done; cp {list} {before}",
        ran = ran.display(),
        list = file.display(),
        before = folder.join("before").display(),
    );
    let site = site
        .set("discovery.command", &json!(["bash", "-c", script]).to_string())
        .set("discovery.webhook", &json!(callback.url()).to_string())
        .set("discovery.leave_timeout", r#""30s""#);
    let mut windlass = site.start().await?;
    let image = web(&site, &windlass, 3).await?;
    let mut addresses = ready(&windlass, 3).await;
    addresses.sort();
    let told = |count: usize| {
        let (file, ran, callback) = (&file, &ran, &callback);
        eventually("every list to be notified", SOON, async move || {
            let sent = callback.received().last().and_then(|body| Some(body.as_array()?.len()));
            let last = std::fs::read_to_string(ran).unwrap_or_default().lines().last().map(str::to_owned);
            let seen = (listed(file).len(), last, sent);
            let is_told = seen == (count, Some(count.to_string()), Some(count));
            if is_told { Ok(()) } else { Err(format!("{seen:?}")) }
        })
    };
    told(3).await;
    let mut shown = listed(&file);
    shown.sort();
    assert_eq!(shown, addresses);

    // A restart keeps the list, although no replica has been probed yet.
    let written = file.metadata()?.modified()?;
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    ready(&windlass, 3).await;
    told(3).await;
    assert_eq!(file.metadata()?.modified()?, written);

    for (path, count) in [(format!("/images/{image}/scale"), 2), (String::new(), 1)] {
        // A rejected notification is sent again.
        callback.refuse(1);
        if path.is_empty() {
            let name = groups(&windlass, "").await[0]["labels"]["__meta_windlass_container"].clone();
            let path = format!("/images/{image}/scale");
            windlass.post(&path, json!({"min_replicas": 1, "max_replicas": 2})).await.ok();
            let held = format!("/containers/{}", name.as_str().expect("a name"));
            windlass.patch(&held, json!({"status": "stopped"})).await.ok();
        } else {
            windlass.post(&path, json!({"min_replicas": 1, "max_replicas": 2})).await.ok();
        }
        // When the change is answered, the replica is stopped, and the list was notified before.
        assert_eq!(listed(&file).len(), count);
        told(count).await;
        assert_eq!(callback.refusals_left(), 0);
    }
    let noted = std::fs::read_to_string(&ran)?;
    assert!(!noted.contains("stopped too early"), "{noted}");
    windlass.delete(&format!("/images/{image}")).await.ok();
    told(0).await;
    Ok(())
}

/// A file with the workload's name, then one address a line.
fn list_to(site: Site) -> anyhow::Result<(Site, std::path::PathBuf)> {
    let (file, template) = (site.folder().join("list"), site.folder().join("list.jinja"));
    let lines = "{% for workload in workloads %}{{ workload.name }}\n{% for target in workload.targets %}{{ target.address }}\n{% endfor %}{% endfor %}";
    std::fs::write(&template, lines)?;
    let site =
        site.set("discovery.file", &json!(file).to_string()).set("discovery.template", &json!(template).to_string());
    Ok((site, file))
}

#[tokio::test]
async fn what_leaves_before_the_others_were_asked_again_leaves_the_list_alone() -> anyhow::Result<()> {
    let (site, file) = list_to(Site::new("settling").await?)?;
    let site = site.set("discovery.leave_timeout", r#""30s""#);
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    let mut body = start_body(image, 3, 3);
    body["ports"] = json!({"80/tcp": 0});
    let probe = ["sh", "-c", "test ! -e /slow || sleep 25"];
    body["probe"] = json!({"exec": {"command": probe}, "interval": "30s", "timeout": "30s"});
    windlass.post("/start/container", body).await.ok();
    ready(&windlass, 3).await;
    eventually("the list", SOON, async || {
        let listed = listed(&file);
        if listed.len() == 3 { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    for id in site.engine().running(site.instance()).await? {
        site.engine().exec(&id, &["sh", "-c", "> /slow"]).await?;
    }
    assert!(windlass.terminate().await?.success());
    // From now on a probe takes longer than the list waits for a first result.
    let windlass = site.start().await?;
    let before = listed(&file);
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 2})).await.ok();
    let after = listed(&file);
    assert!(after.len() == 2 && after.iter().all(|address| before.contains(address)), "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_replica_waits_no_longer_for_those_who_are_told_than_it_is_set() -> anyhow::Result<()> {
    const LONGEST: Duration = Duration::from_secs(2);
    let (site, file) = list_to(Site::new("patience").await?)?;
    let slow = site.folder().join("slow");
    let command = json!(["sh", "-c", format!("test ! -e {} || sleep 25", slow.display())]);
    let site = site
        .set("discovery.command", &command.to_string())
        .set("discovery.command_timeout", r#""30s""#)
        .set("discovery.leave_timeout", &format!("\"{}s\"", LONGEST.as_secs()));
    let windlass = site.start().await?;
    let image = web(&site, &windlass, 2).await?;
    ready(&windlass, 2).await;
    eventually("the list", SOON, async || {
        let listed = listed(&file);
        if listed.len() == 2 { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    std::fs::write(slow, "")?;
    let began = tokio::time::Instant::now();
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 1, "max_replicas": 1})).await.ok();
    let took = began.elapsed();
    assert!(took >= LONGEST && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(site.engine().running(site.instance()).await?.len(), 1);
    assert!(windlass.log().contains("a replica stops before all balancers have removed it"));
    Ok(())
}

#[tokio::test]
async fn a_replica_is_told_of_when_it_serves_and_not_before() -> anyhow::Result<()> {
    let site = Site::new("begun").await?;
    let file = json!(site.folder().join("list")).to_string();
    let site = site.set("discovery.file", &file);
    let image = site.engine().prepare(Fixture::SlowStart).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["ports"] = json!({"80/tcp": 0});
    body["env"] = json!({"DELAY": "1"});
    body["probe"] = json!({"http": {"port": 80, "path": "/"}, "interval": "1s"});
    windlass.post("/start/container", body).await.ok();
    // The number of targets of each list that was written.
    let written = async |lists: usize| {
        eventually("the lists", LIMIT, async || {
            let log = windlass.log();
            let lines = log.lines().filter(|line| line.contains("wrote the list of targets"));
            let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let targets: Vec<u64> = entries.filter_map(|entry| entry["targets"].as_u64()).collect();
            if targets.len() >= lists && targets.last() == Some(&1) { Ok(targets) } else { Err(format!("{targets:?}")) }
        })
        .await
    };
    assert_eq!(written(2).await, [0, 1]);
    // Nor a replica that was restarted.
    let id = site.engine().running(site.instance()).await?.remove(0);
    site.engine().kill(&id).await?;
    assert_eq!(written(4).await, [0, 1, 0, 1]);
    Ok(())
}

#[tokio::test]
async fn a_template_that_is_none_is_told_at_the_start() -> anyhow::Result<()> {
    let site = Site::new("template").await?;
    let (file, template) = (site.folder().join("list"), site.folder().join("list.jinja"));
    std::fs::write(&template, "\n{% for x in %}")?;
    let site =
        site.set("discovery.file", &json!(file).to_string()).set("discovery.template", &json!(template).to_string());
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(!status.success() && said.contains("`discovery.template`") && said.contains("template:2"), "{said}");
    Ok(())
}
