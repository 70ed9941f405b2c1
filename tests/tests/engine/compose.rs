//! Services of Compose with labels, from outside of the program: adopted, recommended about, and scaled beside Compose.

use anyhow::Context as _;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass};
use windlass_tests::wait::{eventually, throughout};

/// Windlass waits until Compose has left a service alone for 10 s.
const AFTER_QUIET: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

/// A project of Compose in a site's folder. It is removed with the value.
struct Project {
    name: String,
    folder: PathBuf,
    host: String,
}

impl Project {
    fn new(site: &Site) -> Self {
        let name = site.instance().replace('-', "");
        Self { name, folder: site.folder().to_owned(), host: site.engine().host().to_owned() }
    }

    /// Writes the file of the project: one service, with these lines in it.
    fn write(&self, site: &Site, image: &str, lines: &[&str]) -> anyhow::Result<()> {
        let file = format!(
            "version: '3.8'\nservices:\n  web:\n    image: {image}\n    init: true\n    stop_grace_period: 1s\n    labels:\n      \
             windlass.enable: 'true'\n      windlass.instance: {}\n      windlass.min: '2'\n      windlass.max: '4'\n{}\n",
            site.instance(),
            lines.join("\n")
        );
        Ok(std::fs::write(self.folder.join("docker-compose.yml"), file)?)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("DOCKER_HOST", &self.host).args(arguments);
        let output = command.output().with_context(|| format!("cannot run {program}"))?;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        anyhow::ensure!(
            output.status.success(),
            "{arguments:?}: {printed}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(printed)
    }

    fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("docker-compose", &[&["--no-ansi", "--project-name", &self.name], arguments].concat())
    }

    /// The running containers of the service: their names, in order, each with the value of a label.
    fn running(&self, label: &str) -> Result<Vec<(String, String)>, String> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let format = format!("{{{{.Names}}}} {{{{.Label \"{label}\"}}}}");
        let listed = self.run("docker", &["ps", "--filter", &filter, "--format", &format]);
        let listed = listed.map_err(|error| error.to_string())?;
        let line = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (name.replace(&format!("{}_", self.name), ""), value.trim().to_owned())
        };
        let mut running: Vec<(String, String)> = listed.lines().map(line).collect();
        running.sort();
        Ok(running)
    }

    fn names(&self) -> Result<Vec<String>, String> {
        Ok(self.running("windlass.enable")?.into_iter().map(|(name, _)| name).collect())
    }

    async fn runs(&self, why: &str, names: &[&str]) {
        eventually(why, AFTER_QUIET, async || match self.names()? {
            running if running == names => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    async fn view(&self, windlass: &Windlass) -> Value {
        windlass.get(&format!("/workloads/{}-web", self.name)).await.body
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(self.compose(&["down", "--volumes", "--timeout", "0"]));
    }
}

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
        names if names == ["web_1"] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    project.write(&site, image, &["      windlass.mode: act"])?;
    project.compose(&["up", "--detach"])?;
    project.runs("a copy is made", &["web_1", "web_2"]).await;
    assert_eq!(project.compose(&["ps", "--quiet"])?.lines().count(), 2, "Compose lists the copy");

    let copy = project.run("docker", &["inspect", "--format", "{{.Id}}", &format!("{}_web_2", project.name)])?;
    site.engine().kill(&copy).await?;
    eventually("the copy is restarted in place", SOON, async || {
        let state = project.run("docker", &["inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", &copy]);
        match state {
            Ok(state) if state == "true 0" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    project.compose(&["up", "--detach"])?;
    assert_eq!(project.names().map_err(anyhow::Error::msg)?, ["web_1"], "the file has one");
    project.runs("the copy comes back", &["web_1", "web_2"]).await;

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
    project.write(&site, image, &["      windlass.mode: act", "    container_name: PROJECTx"])?;
    let file = project.folder.join("docker-compose.yml");
    std::fs::write(&file, std::fs::read_to_string(&file)?.replace("PROJECT", &project.name))?;
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
