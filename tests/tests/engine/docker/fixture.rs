//! An instance name and an image on the real engine, and the removal of everything at the end.

use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use windlass_core::settings::EngineSettings;
use windlass_core::workload::{Bounds, DesiredStatus, Resources};
use windlass_core::{Slot, Workload};
use windlass_docker::{DockerEngine, Environment};

/// The socket of the engine under test: `DOCKER_HOST`, otherwise the default socket.
pub(crate) fn socket() -> String {
    let named = std::env::var("DOCKER_HOST").ok();
    let path = named.as_deref().and_then(|host| host.strip_prefix("unix://"));
    path.unwrap_or("/var/run/docker.sock").to_owned()
}

/// A command that ends at once on SIGTERM, and otherwise does nothing.
pub(crate) const WAIT: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Removes its containers and its image when dropped, also after a failed test.
pub(crate) struct Fixture {
    pub(crate) instance: String,
    pub(crate) image: String,
    pub(crate) runtime: Arc<DockerEngine>,
}

impl Fixture {
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, Environment::of_process(), |_| {}).await
    }

    pub(crate) async fn with(name: &str, environment: Environment, adapt: impl FnOnce(&mut EngineSettings)) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("dockertest-{name}-{}-{count}", std::process::id());
        let image = format!("windlass-dockertest/{name}:{}-{count}", std::process::id());
        import(&image);
        let mut settings = EngineSettings {
            instance: instance.clone(),
            host: Some(socket()),
            sample_interval: Duration::from_millis(500),
            ..EngineSettings::default()
        };
        adapt(&mut settings);
        let runtime = DockerEngine::connect_in(&settings, &environment).await.unwrap();
        Self { instance, image, runtime }
    }

    /// A workload of the fixture's image.
    pub(crate) fn workload(&self, command: &[&str]) -> Workload {
        let image = self.image.parse().unwrap();
        Workload {
            command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..Workload::new(
                image,
                Bounds::new(1, 10).unwrap(),
                Resources {
                    cpu: "0.5".parse().unwrap(),
                    memory: "32m".parse().unwrap(),
                    status: DesiredStatus::Running,
                },
            )
        }
    }

    /// Identifiers of all containers of the instance, whatever their state.
    pub(crate) fn containers(&self) -> Vec<String> {
        containers(&self.instance)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        remove_containers(&self.instance);
        docker(&["image", "rm", "--force", &self.image]);
    }
}

fn containers(instance: &str) -> Vec<String> {
    let filter = format!("label=windlass.instance={instance}");
    let output = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

fn remove_containers(instance: &str) {
    let found = containers(instance);
    if !found.is_empty() {
        let mut arguments = vec!["rm", "--force", "--volumes"];
        arguments.extend(found.iter().map(String::as_str));
        docker(&arguments);
    }
}

/// A container or network that belongs to no Windlass; removed at the end.
pub(crate) struct Foreign {
    kind: &'static str,
    pub(crate) name: String,
}

impl Foreign {
    pub(crate) fn container(name: &str, arguments: &[&str]) -> Self {
        let foreign = Self { kind: "container", name: format!("dockertest-{name}-{}", std::process::id()) };
        let mut all = vec!["run", "--detach", "--name", &foreign.name];
        all.extend(arguments);
        let output = docker(&all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        foreign
    }

    pub(crate) fn network(name: &str) -> Self {
        Self::network_with(name, &[]).unwrap()
    }

    /// A network whose containers the host does not reach: a macvlan, or if the kernel has none, a bridge without an
    /// address of the host.
    pub(crate) fn unreachable_network(name: &str) -> Self {
        let macvlan = Self::network_with(name, &["--driver", "macvlan", "--opt", "parent=docker0"]);
        let bridge = || Self::network_with(name, &["--opt", "com.docker.network.bridge.inhibit_ipv4=true"]);
        macvlan.or_else(|_| bridge()).unwrap()
    }

    fn network_with(name: &str, options: &[&str]) -> Result<Self, String> {
        let foreign = Self { kind: "network", name: format!("dockertest-{name}-{}", std::process::id()) };
        let output = docker(&[&["network", "create"], options, &[&foreign.name]].concat());
        if output.status.success() { Ok(foreign) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        match self.kind {
            "container" => docker(&["rm", "--force", &self.name]),
            kind => docker(&[kind, "rm", &self.name]),
        };
    }
}

/// Runs the Docker client, for changes that bypass Windlass.
pub(crate) fn docker(arguments: &[&str]) -> Output {
    client().args(arguments).output().unwrap()
}

fn client() -> Command {
    let mut client = Command::new("docker");
    client.args(["--host", &format!("unix://{}", socket())]);
    client
}

/// The slot of most tests.
pub(crate) const FIRST: Slot = Slot(0);

/// Repeats a query until it has an answer, for a limited time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let patience = Duration::from_secs(30);
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("not within {patience:?}: {what}"))
}

/// Builds an image from the machine's static busybox, without a registry.
fn import(image: &str) {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(folder.path().join("www")).unwrap();
    std::fs::write(folder.path().join("www/index.html"), "well\n").unwrap();
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(busybox(), bin.join("busybox")).unwrap();
    for applet in ["sh", "sleep", "httpd", "tail", "true", "yes"] {
        symlink("busybox", bin.join(applet)).unwrap();
    }
    let mut archive =
        Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
    let imported = client()
        .args(["import", "--change", "ENV PATH=/bin", "-", image])
        .stdin(archive.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(archive.wait().unwrap().success());
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
}

fn busybox() -> PathBuf {
    windlass_tests::images::busybox().unwrap()
}
