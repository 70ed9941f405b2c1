//! Copies of containers of Compose: which ones leave first, and how they are replaced.

use super::project::{AFTER_QUIET, Journal, Project, SOON, counts};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::Site;
use windlass_tests::wait::{eventually, throughout};

const ACT: &str = "      windlass.mode: act";

#[tokio::test]
async fn a_scale_in_removes_copies_first_and_never_the_last_container_of_compose() -> anyhow::Result<()> {
    let site = Site::new("compose-in").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    project.write_with_bounds(&site, image, ("0", "5"), &[ACT])?;
    project.compose(&["up", "--detach", "--scale", "web=2"])?;
    let own = project.docker(&["inspect", "--format", "{{.Id}}", &project.container(1), &project.container(2)])?;
    let windlass = site.start().await?;
    let is_adopted = async || match project.view(&windlass).await {
        view if view["observed"]["running"] == 2 => Ok(()),
        view => Err(view.to_string()),
    };
    eventually("both are adopted", SOON, is_adopted).await;

    // One after the other, so that the first copy is the older one.
    project.force(&windlass, 3).await;
    project.runs("a copy is made", &["web 1", "web 2", "web 3"]).await;
    project.force(&windlass, 4).await;
    project.runs("another copy is made", &["web 1", "web 2", "web 3", "web 4"]).await;
    let journal = Journal::begin(&project)?;
    project.force(&windlass, 3).await;
    project.runs("the oldest copy goes", &["web 1", "web 2", "web 4"]).await;
    project.force(&windlass, 2).await;
    project.runs("the other copy goes", &["web 1", "web 2"]).await;
    assert_eq!(
        project.docker(&["inspect", "--format", "{{.Id}}", &project.container(1), &project.container(2)])?,
        own,
        "they are those of Compose"
    );
    // Only then does one of Compose's own go, and the one that copies are made of stays.
    project.force(&windlass, 0).await;
    let left = eventually("one container of Compose is left", SOON, async || match &project.names()?[..] {
        [left] => Ok(left.clone()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let gone = if left == "web 1" { "web 2" } else { "web 1" };
    let events = journal.until(&format!("destroy {gone}")).await;
    let destroyed: Vec<&str> = events.iter().filter_map(|event| event.strip_prefix("destroy ")).collect();
    assert_eq!(destroyed, ["web 3", "web 4", gone]);
    throughout("the last one stays", Duration::from_secs(3), async || match project.names()? {
        names if names == [left.as_str()] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    project.force(&windlass, 2).await;
    let again = eventually("a copy is made of it", SOON, async || match project.running("windlass.clone-of")? {
        running if running.len() == 2 => Ok(running),
        other => Err(format!("{other:?}")),
    })
    .await;
    let of_last = project.docker(&["inspect", "--format", "{{.Id}}", &container(&project, &left)])?;
    assert!(again.iter().any(|(_, model)| *model == of_last), "{again:?}");
    Ok(())
}

/// The name of the container with this short name.
fn container(project: &Project, short: &str) -> String {
    project.container(short.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default())
}

#[tokio::test]
async fn copies_of_a_changed_service_are_replaced_by_copies_of_the_new_one_while_no_fewer_run() -> anyhow::Result<()> {
    let site = Site::new("compose-changed").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    let journal = Journal::begin(&project)?;
    project.write_with_bounds(&site, image, ("3", "5"), &[ACT])?;
    project.compose(&["up", "--detach"])?;
    let windlass = site.start().await?;
    project.runs("two copies are made", &["web 1", "web 2", "web 3"]).await;

    // Compose adds a container of the changed service, and leaves those that are there as they are.
    project.write_with_bounds(&site, image, ("3", "5"), &[ACT, "      team: other"])?;
    project.compose(&["up", "--detach", "--no-recreate", "--scale", "web=4"])?;
    let model = project.docker(&["inspect", "--format", "{{.Id}}", &project.container(4)])?;
    let replaced = async || {
        let running = project.running("windlass.clone-of")?;
        let new = running.iter().filter(|(_, of)| *of == model).count();
        let old = running.iter().filter(|(_, of)| !of.is_empty() && *of != model).count();
        if (running.len(), new, old) == (3, 1, 0) { Ok(()) } else { Err(format!("{running:?}")) }
    };
    eventually("a copy of the new container takes the place of the old ones", AFTER_QUIET, replaced).await;
    let mut teams: Vec<String> =
        project.running("team").map_err(anyhow::Error::msg)?.into_iter().map(|(_, team)| team).collect();
    teams.sort();
    assert_eq!(teams, ["", "other", "other"], "Windlass never replaces a container of Compose");
    assert!(project.names().map_err(anyhow::Error::msg)?.contains(&"web 1".to_owned()));

    journal.until("destroy web 2").await;
    let events = journal.until("destroy web 3").await;
    let counts = counts(&events);
    let full = counts.iter().position(|count| *count == 3).expect("three ran");
    assert!(counts[full..].iter().all(|count| *count >= 3), "{events:?}: {counts:?}");
    assert_eq!(project.view(&windlass).await["desired"]["target"], 3);
    Ok(())
}

#[tokio::test]
async fn a_copy_that_fails_its_probe_is_removed_after_its_replacement_has_started() -> anyhow::Result<()> {
    let health = r#"{ name = "liveness", config = { failure-threshold = 3, restarts-before-replace = 0 } }"#;
    let site = Site::new("compose-replace")
        .await?
        .set("control.interval", "\"1s\"")
        .set("profiles.web.health_policy", health)
        .set("profiles.web.probe", r#"{ http = { port = 80, path = "/" }, interval = "2s", timeout = "2s" }"#);
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    project.write(&site, image, &[ACT, "      windlass.profile: web"])?;
    project.compose(&["up", "--detach"])?;
    let windlass = site.start().await?;
    project.runs("a copy is made", &["web 1", "web 2"]).await;
    let ready = async || {
        let view = project.view(&windlass).await;
        let containers = view["observed"]["containers"].as_array().into_iter().flatten();
        let healthy = containers.filter(|container| container["health"] == "healthy").count();
        if healthy == 2 { Ok(()) } else { Err(view.to_string()) }
    };
    eventually("both answer", SOON, ready).await;

    let journal = Journal::begin(&project)?;
    site.engine().exec(&project.container(2), &["busybox", "rm", "/www/index.html"]).await?;
    project.runs("another copy takes its place", &["web 1", "web 3"]).await;
    let events = journal.until("destroy web 2").await;
    assert_eq!(events, ["create web 3", "start web 3", "die web 2", "destroy web 2"]);
    // The container of Compose that copies are made of is only restarted.
    site.engine().exec(&project.container(1), &["busybox", "rm", "/www/index.html"]).await?;
    let events = journal.until("start web 1").await;
    assert_eq!(events[4..], ["die web 1", "start web 1"]);
    eventually("both answer again", AFTER_QUIET, ready).await;
    Ok(())
}

#[tokio::test]
async fn compose_stops_and_starts_copies_too_and_windlass_starts_nothing_in_between() -> anyhow::Result<()> {
    let site = Site::new("compose-stop").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    // Labels below `deploy` are those of a Swarm service, and Compose sets none of them.
    let other = format!(
        "  other:\n    image: {image}\n    init: true\n    deploy: {{labels: {{windlass.enable: 'true', windlass.max: '2', \
         windlass.instance: {}}}}}",
        site.instance()
    );
    project.write(&site, image, &[ACT, &other])?;
    // Containers that Compose created and did not start are left so.
    project.compose(&["up", "--no-start"])?;
    let windlass = site.start().await?;
    let is_adopted = async || match project.view(&windlass).await {
        view if view["last_pass"]["reason"].is_string() => Ok(()),
        view => Err(view.to_string()),
    };
    eventually("the service is adopted", SOON, is_adopted).await;
    let none_runs = async || match project.names()? {
        names if names.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    };
    throughout("nothing is started", Duration::from_secs(12), none_runs).await;
    assert_eq!(windlass.get(&format!("/workloads/{}-other", project.name)).await.status, 404);

    project.compose(&["up", "--detach", "web"])?;
    project.runs("a copy is made", &["web 1", "web 2"]).await;
    project.compose(&["stop"])?;
    throughout("the copy is stopped, too, and stays so", Duration::from_secs(12), none_runs).await;
    project.compose(&["start", "web"])?;
    project.runs("both run again", &["web 1", "web 2"]).await;
    Ok(())
}
