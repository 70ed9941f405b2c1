//! The ten endpoints that other programs know, for a workload that is a service of the Swarm: they answer for its tasks as for
//! containers.

use super::WAIT;
use super::site::SwarmSite;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use windlass_tests::images::Fixture;
use windlass_tests::response::Response;
use windlass_tests::site::{Windlass, start_body};
use windlass_tests::swarm::docker;
use windlass_tests::wait::eventually;

/// The members of a container's summary.
const SUMMARY: [&str; 4] = ["container_id", "name", "status", "ports"];

pub(crate) async fn the_ten_endpoints_answer_for_tasks(site: &SwarmSite, windlass: &Windlass) {
    let image = Fixture::Web.reference();
    let mut body = start_body(image, 2, 4);
    body["ports"] = json!({"80/tcp": 0});
    body["env"] = json!({"A": "1"});
    assert_eq!(windlass.get("/health").await.ok(), json!({"ok": true}));
    let started = windlass.post("/start/container", body.clone()).await.ok();
    assert_eq!(
        (&started["ok"], &started["action"], &started["image"]),
        (&json!(true), &json!("created"), &json!(image))
    );
    assert!(SUMMARY.iter().all(|member| started.get(member).is_some()), "{started}");

    let two = tasks(site, windlass, image, 2).await;
    let kept = windlass.post("/start/container", body).await.ok();
    assert_eq!((&kept["action"], &kept["image"]), (&json!("kept-existing"), &json!(image)));
    let id = kept["container_id"].as_str().unwrap();
    assert_eq!(two.get(id).map(String::as_str), kept["name"].as_str(), "{two:?}");

    let scaled = windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 3, "max_replicas": 4})).await;
    let actions = reconciled(&scaled, image, 3);
    assert!(matches!(actions, [action] if action["action"] == "set-count" && action["ok"] == true), "{scaled}");
    let three = tasks(site, windlass, image, 3).await;
    assert!(two.keys().all(|id| three.contains_key(id)), "{two:?} {three:?}");
    let at_rest = windlass.post(&format!("/images/{image}/reconcile"), json!({})).await;
    assert_eq!(reconciled(&at_rest, image, 3), &[] as &[Value]);
    assert_eq!(at_rest.list("/current").len(), 3, "{at_rest}");

    let all = windlass.get("/containers").await;
    let listed: Vec<&str> = all.list("/containers").iter().filter_map(|it| it["container_id"].as_str()).collect();
    assert!(three.keys().all(|id| listed.contains(&id.as_str())), "{all}");
    eventually("the health of each task", WAIT, async || {
        let health = windlass.get(&format!("/images/{image}/health")).await;
        let members = ["server_alive", "cpu_percent", "mem_percent", "fs_free_bytes"];
        let is_so = |task: &Value| {
            let has_all = SUMMARY.iter().chain(&members).all(|member| task.get(member).is_some());
            has_all && task["server_alive"] == true && three.contains_key(task["container_id"].as_str().unwrap())
        };
        let listed = health.list("/health");
        if listed.len() == 3 && listed.iter().all(is_so) { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    let images = windlass.get("/images").await;
    let ours = images.list("/images").iter().find(|it| it["image"] == image);
    let ours = ours.unwrap_or_else(|| panic!("{images}"));
    assert_eq!(
        (&ours["min_replicas"], &ours["max_replicas"], &ours["env"]),
        (&json!(3), &json!(4), &json!({"A": "1"}))
    );
    assert!(ours["ports"].is_object() && ours["resources"].is_object(), "{ours}");

    its_tasks_are_swarms(site, windlass, image, &three).await;
    windlass.delete(&format!("/images/{image}")).await.ok();
    assert_eq!(
        windlass.get(&format!("/images/{image}/containers")).await.ok(),
        json!({"image": image, "containers": []})
    );
}

/// One task cannot be stopped, started or removed.
async fn its_tasks_are_swarms(site: &SwarmSite, windlass: &Windlass, image: &str, tasks: &BTreeMap<String, String>) {
    let (id, name) = tasks.first_key_value().unwrap();
    let path = format!("/containers/{name}");
    let refusals = [
        windlass.patch(&path, json!({"status": "stopped"})).await,
        windlass.patch(&format!("/containers/{id}"), json!({"status": "stopped"})).await,
        windlass.delete(&path).await,
        windlass.delete(&format!("{path}?force=true")).await,
    ];
    for refused in refusals {
        assert_eq!(refused.status, 409, "{refused}");
        let why = format!(
            "container `{name}` is a task of a service, and Swarm starts, replaces and removes tasks by itself; change the \
             number of replicas instead"
        );
        assert_eq!(refused.text("/detail"), why);
    }
    assert_eq!(self::tasks(site, windlass, image, tasks.len()).await, *tasks, "nothing was done");
    for missing in [
        windlass.delete("/containers/none").await,
        windlass.patch("/containers/none", json!({"status": "stopped"})).await,
    ] {
        assert_eq!((missing.status, missing.text("/detail")), (404, "there is no container `none`".to_owned()));
    }
}

/// The actions of an answer about a pass.
#[track_caller]
fn reconciled<'a>(answer: &'a Response, image: &str, min: u32) -> &'a [Value] {
    let is = (answer.status, &answer.body["ok"], answer.body["image"].as_str());
    assert_eq!(is, (200, &json!(true), Some(image)), "{answer}");
    assert_eq!(answer.body["desired"], json!({"min_replicas": min, "max_replicas": 4}), "{answer}");
    answer.list("/actions")
}

/// The identifiers and names of a workload's containers, once this many run. They are those of the engines on the nodes.
async fn tasks(site: &SwarmSite, windlass: &Windlass, image: &str, count: usize) -> BTreeMap<String, String> {
    eventually("the tasks as containers of the nodes", WAIT, async || {
        let listed = windlass.get(&format!("/images/{image}/containers")).await;
        let mut found = BTreeMap::new();
        for container in listed.list("/containers") {
            let [id, name] = ["container_id", "name"].map(|member| container[member].as_str().unwrap().to_owned());
            let is_published = container["ports"]["80/tcp"][0]["HostPort"].is_string();
            if container["status"] == "running" && is_published {
                found.insert(id, name);
            }
        }
        let service =
            found.values().next().and_then(|name| name.split('.').next()).ok_or_else(|| listed.to_string())?;
        let on_nodes = containers(site, service).await?;
        let is_so = found.len() == count && listed.list("/containers").len() == count && on_nodes == found;
        if is_so { Ok(found) } else { Err(format!("{listed} {on_nodes:?}")) }
    })
    .await
}

/// The running containers of a service on all nodes, as their engines list them.
async fn containers(site: &SwarmSite, service: &str) -> Result<BTreeMap<String, String>, String> {
    let filter = format!("label=com.docker.swarm.service.name={service}");
    let listing = ["ps", "--no-trunc", "--filter", &filter, "--format", "{{.ID}} {{.Names}}"];
    let mut found = BTreeMap::new();
    for host in site.hosts() {
        let listed = docker(host, &listing).await.map_err(|error| format!("{error:#}"))?;
        let pairs = listed.lines().filter_map(|line| line.split_once(' '));
        found.extend(pairs.map(|(id, name)| (id.to_owned(), name.to_owned())));
    }
    Ok(found)
}
