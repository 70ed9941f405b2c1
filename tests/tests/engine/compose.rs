//! Services of Compose with labels, from outside of the program: adopted, recommended about, and scaled beside Compose.

mod copies;
mod project;

use project::{AFTER_QUIET, Project, SOON};
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::Site;
use windlass_tests::wait::{eventually, throughout};

#[tokio::test]
async fn a_service_is_adopted_scaled_repaired_and_left_to_compose_while_it_works() -> anyhow::Result<()> {
    let site = Site::new("compose").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    project.write(&site, image, &[])?;
    project.compose(&["up", "--detach"])?;
    let windlass = site.start().await?;
    // Two are wanted, and nobody asked Windlass to act.
    let recommends = async || {
        let view = project.view(&windlass).await;
        let is_recommended = view["last_pass"]["recommended"]["target"] == 2;
        if is_recommended { Ok(()) } else { Err(view.to_string()) }
    };
    eventually("Windlass recommends two", AFTER_QUIET, recommends).await;
    throughout("it only recommends", Duration::from_secs(2), async || match project.names()? {
        names if names == ["web 1"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    project.write(&site, image, &["      windlass.mode: act"])?;
    project.compose(&["up", "--detach"])?;
    project.runs("a copy is made", &["web 1", "web 2"]).await;
    assert_eq!(project.compose(&["ps", "--quiet"])?.lines().count(), 2, "Compose lists the copy");

    let copy = project.docker(&["inspect", "--format", "{{.Id}}", &project.container(2)])?;
    site.engine().kill(&copy).await?;
    eventually("the copy is restarted in place", SOON, async || {
        let state = project.docker(&["inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", &copy]);
        match state {
            Ok(state) if state == "true 0" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    project.compose(&["up", "--detach"])?;
    assert_eq!(project.names().map_err(anyhow::Error::msg)?, ["web 1"], "the file has one");
    project.runs("the copy comes back", &["web 1", "web 2"]).await;

    project.write(&site, image, &["      windlass.mode: act", "      team: other"])?;
    project.compose(&["up", "--detach", "--scale", "web=1"])?;
    eventually("a copy of the changed container runs", AFTER_QUIET, async || {
        let running = project.running("team")?;
        let is_new = running.len() == 2 && running.iter().all(|(_, team)| team == "other");
        if is_new { Ok(()) } else { Err(format!("{running:?}")) }
    })
    .await;

    project.compose(&["down", "--timeout", "1"])?;
    throughout("nothing is created after `down`", Duration::from_secs(2), async || match project.names()? {
        names if names.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_service_that_cannot_be_copied_says_why_and_stays_at_its_count() -> anyhow::Result<()> {
    let site = Site::new("uncopyable").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let project = Project::new(&site);
    let name = format!("    container_name: {}x", project.name);
    project.write(&site, image, &["      windlass.mode: act", &name])?;
    project.compose(&["up", "--detach"])?;
    let windlass = site.start().await?;
    let alert = eventually("there is an alert", AFTER_QUIET, async || {
        let view = project.view(&windlass).await;
        let alerts = view["alerts"].as_array().into_iter().flatten();
        let found = alerts.clone().find(|alert| alert["kind"] == "uncopyable");
        found.map(|alert| alert["reason"].to_string()).ok_or_else(|| view.to_string())
    })
    .await;
    assert!(alert.contains("has a name of its own") && alert.contains("remove `container_name`"), "{alert}");
    let name = format!("{}x", project.name);
    site.engine().kill(&name).await?;
    eventually("it is still repaired", AFTER_QUIET, async || match project.names()? {
        names if names == [name.as_str()] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}
