//! A project of Compose with one service, and the record of its containers' starts and ends.

use anyhow::Context as _;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_tests::compose;
use windlass_tests::site::{Site, Windlass};
use windlass_tests::wait::eventually;

/// Windlass waits until Compose has left a service alone for 10 s.
pub(crate) const AFTER_QUIET: Duration = Duration::from_secs(60);
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A project of Compose in a site's folder. It is removed with the value.
pub(crate) struct Project {
    pub(crate) name: String,
    folder: PathBuf,
    host: String,
}

impl Project {
    pub(crate) fn new(site: &Site) -> Self {
        let name = site.instance().replace('-', "");
        Self { name, folder: site.folder().to_owned(), host: site.engine().host().to_owned() }
    }

    /// Writes the file of the project: one service that asks for two to four replicas, with these lines in it.
    pub(crate) fn write(&self, site: &Site, image: &str, lines: &[&str]) -> anyhow::Result<()> {
        self.write_with_bounds(site, image, ("2", "4"), lines)
    }

    pub(crate) fn write_with_bounds(
        &self,
        site: &Site,
        image: &str,
        (min, max): (&str, &str),
        lines: &[&str],
    ) -> anyhow::Result<()> {
        let file = format!(
            "version: '3.8'\nservices:\n  web:\n    image: {image}\n    init: true\n    stop_grace_period: 1s\n    labels:\n      \
             windlass.enable: 'true'\n      windlass.instance: {}\n      windlass.min: '{min}'\n      windlass.max: '{max}'\n{}\n",
            site.instance(),
            lines.join("\n")
        );
        Ok(std::fs::write(self.folder.join("docker-compose.yml"), file)?)
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host).args(arguments);
        printed(command)
    }

    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = compose::command(&self.host, &self.name, &self.folder);
        command.args(arguments);
        printed(command)
    }

    /// The name of a container of the service.
    pub(crate) fn container(&self, number: u32) -> String {
        compose::container(&self.name, "web", number)
    }

    /// The running containers of the service: their short names, in order, each with the value of a label.
    pub(crate) fn running(&self, label: &str) -> Result<Vec<(String, String)>, String> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let format = format!("{{{{.Names}}}} {{{{.Label \"{label}\"}}}}");
        let listed = self.docker(&["ps", "--filter", &filter, "--format", &format]);
        let listed = listed.map_err(|error| error.to_string())?;
        let line = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (compose::short_name(&self.name, name), value.trim().to_owned())
        };
        let mut running: Vec<(String, String)> = listed.lines().map(line).collect();
        running.sort();
        Ok(running)
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, String> {
        Ok(self.running("windlass.enable")?.into_iter().map(|(name, _)| name).collect())
    }

    /// Waits until these containers run, and no others.
    pub(crate) async fn runs(&self, why: &str, names: &[&str]) {
        eventually(why, AFTER_QUIET, async || match self.names()? {
            running if running == names => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    pub(crate) async fn view(&self, windlass: &Windlass) -> Value {
        windlass.get(&format!("/workloads/{}-web", self.name)).await.body
    }

    /// Forces a count of replicas as an operator does, so that no test waits for a window.
    pub(crate) async fn force(&self, windlass: &Windlass, replicas: u32) {
        let force = serde_json::json!({"force": {"replicas": replicas, "for": "1h"}});
        windlass.patch(&format!("/workloads/{}-web/overrides", self.name), force).await.ok();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(self.compose(&["down", "--volumes", "--timeout", "0"]));
    }
}

fn printed(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{command:?}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The events of a project's containers, in the order of the engine.
pub(crate) struct Journal {
    project: String,
    events: Child,
    file: PathBuf,
}

impl Journal {
    /// Records from now on.
    pub(crate) fn begin(project: &Project) -> anyhow::Result<Self> {
        let file = project.folder.join("events");
        // The stream begins later than its process, so it asks for the events since now.
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64().to_string();
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &project.host).args(["events", "--since", &since]);
        command.args(["--format", "{{.Action}} {{.Actor.Attributes.name}}"]);
        let label = format!("label=com.docker.compose.project={}", project.name);
        for filter in ["type=container", "event=create", "event=start", "event=die", "event=destroy", &label] {
            command.args(["--filter", filter]);
        }
        let events = command.stdin(Stdio::null()).stdout(std::fs::File::create(&file)?).spawn()?;
        Ok(Self { project: project.name.clone(), events, file })
    }

    /// The events until now, each as `start web 1`.
    pub(crate) fn events(&self) -> Result<Vec<String>, String> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| error.to_string())?;
        let event = |line: &str| {
            let (action, name) = line.split_once(' ')?;
            Some(format!("{action} {}", compose::short_name(&self.project, name)))
        };
        Ok(text.lines().filter_map(event).collect())
    }

    /// Waits until an event is recorded, and returns all of them.
    pub(crate) async fn until(&self, event: &str) -> Vec<String> {
        eventually(&format!("the event `{event}`"), AFTER_QUIET, async || {
            let events = self.events()?;
            if events.iter().any(|known| known == event) { Ok(events) } else { Err(format!("{events:?}")) }
        })
        .await
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.events.kill());
        drop(self.events.wait());
    }
}

/// The number of running containers after each event.
pub(crate) fn counts(events: &[String]) -> Vec<i32> {
    let change = |event: &String| match event.split_once(' ') {
        Some(("start", _)) => 1,
        Some(("die", _)) => -1,
        _ => 0,
    };
    let add = |count: &mut i32, change: i32| {
        *count += change;
        Some(*count)
    };
    events.iter().map(change).scan(0, add).collect()
}
