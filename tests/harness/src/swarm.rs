//! A Docker Swarm of three managers on this machine: three engines, each in namespaces of its own.
//!
//! A switch in a network namespace of its own joins the engines: in the machine's own namespace, Docker's firewall rules
//! would drop their packets. Each engine has a private `/run`, because it keeps handles of its networks there, and a name
//! server that refuses at once, because Swarm tries to pull every image first.

use crate::engine::Engine;
use crate::wait::{until, until_blocking};
use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tokio::process::Command as AsyncCommand;

/// The number of nodes, all managers.
pub const NODES: usize = 3;
/// The folder of the engines. It is fixed, so that the next run finds what a crashed run left behind.
const FOLDER: &str = "/tmp/windlass-swarm";
/// Held by the run that has the Swarm. Names and addresses are fixed, so there is one Swarm at a time.
const LOCK: &str = "/tmp/windlass-swarm.lock";
/// The namespace of the switch.
const SWITCH: &str = "windlass-sw0";
/// This machine's link to the switch.
const LINK: &str = "windlass-sw";
/// The first three numbers of all addresses.
const NETWORK: &str = "10.99.9";
/// Time limit for an engine to answer, or to end.
const LIMIT: Duration = Duration::from_secs(60);
/// The program that sets up the namespaces of one engine and becomes it. `$1` is its folder, `$2` its name, `$3` its number.
/// The engine also listens at the default address, for programs that run on the node.
const NODE: &str = r#"
set -e
mkdir -p "$1/run"
mount --bind "$1/run" /run
echo nameserver 127.0.0.1 >"$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
hostname "$2"
exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --host "unix://$1/docker.sock" \
    --host unix:///run/docker.sock --shutdown-timeout 2 --default-address-pool "base=10.21$3.0.0/16,size=24"
"#;

/// A Swarm. Dropping it ends its engines and removes everything.
pub struct Swarm {
    nodes: Vec<Option<Child>>,
    _lock: File,
}

impl Swarm {
    /// Starts a Swarm, after the one of another process has ended.
    ///
    /// # Errors
    /// If the user is not root, a program is missing, or an engine does not start; the text has its last log lines.
    pub async fn start() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a Swarm of private engines needs root: run `make test`, which uses sudo");
        }
        let lock = File::options().create(true).append(true).open(LOCK)?;
        let locked = until("the Swarm of another run to end", Duration::from_secs(600), async || {
            flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| error.to_string())
        });
        locked.await?;
        clear();
        let mut swarm = Self { nodes: (0..NODES).map(|_| None).collect(), _lock: lock };
        std::fs::create_dir_all(FOLDER)?;
        connect_networks()?;
        for node in 1..=NODES {
            swarm.spawn(node)?;
        }
        try_join_all((1..=NODES).map(answers)).await?;
        let first = address(1);
        // A short heartbeat, so that a dead node is noticed soon.
        let init =
            ["swarm", "init", "--dispatcher-heartbeat", "1s", "--advertise-addr", &first, "--listen-addr", &first];
        swarm.docker(1, &init).await?;
        let token = swarm.docker(1, &["swarm", "join-token", "--quiet", "manager"]).await?;
        for node in 2..=NODES {
            let own = address(node);
            let to = format!("{first}:2377");
            swarm.docker(node, &["swarm", "join", "--token", token.trim(), "--advertise-addr", &own, &to]).await?;
        }
        Ok(swarm)
    }

    /// The address of a node's engine. Nodes are numbered from 1.
    pub fn host(&self, node: usize) -> String {
        format!("unix://{}", folder(node).join("docker.sock").display())
    }

    /// A client of a node's engine.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn engine(&self, node: usize) -> anyhow::Result<Engine> {
        Engine::at(&self.host(node)).await
    }

    /// The name of a node in the Swarm.
    pub fn name(node: usize) -> String {
        format!("windlass-{node}")
    }

    /// The address of a node on the switch.
    pub fn address(node: usize) -> String {
        address(node)
    }

    /// Runs the command `docker` on a node, and returns its standard output.
    ///
    /// # Errors
    /// If the command fails; the text has its standard error.
    pub async fn docker(&self, node: usize, arguments: &[&str]) -> anyhow::Result<String> {
        docker(&self.host(node), arguments).await
    }

    /// A program that runs on a node, as a person on that machine starts it: with its network, its name and its `/run`.
    ///
    /// # Errors
    /// If the engine of the node does not run.
    pub fn command(&self, node: usize, program: &str) -> anyhow::Result<AsyncCommand> {
        let engine = self.nodes[node - 1].as_ref().context("the engine does not run")?;
        let mut command = AsyncCommand::new("nsenter");
        command.args(["--target", &engine.id().to_string(), "--mount", "--net", "--uts", "--wd=.", program]);
        Ok(command)
    }

    /// Copies an image of this machine's engine to every node.
    ///
    /// # Errors
    /// If an engine rejects it.
    pub async fn load(&self, image: &str) -> anyhow::Result<()> {
        let archive = tempfile::Builder::new().suffix(".tar").tempfile_in(FOLDER)?;
        let archive = archive.path().display().to_string();
        finished(AsyncCommand::new("docker").args(["save", "--output", &archive, image])).await?;
        let load = ["load", "--quiet", "--input", &archive];
        try_join_all((1..=NODES).map(|node| self.docker(node, &load))).await?;
        Ok(())
    }

    /// Kills a node's engine and its containers, as the loss of its power does.
    ///
    /// # Errors
    /// If the engine does not run.
    pub fn lose(&mut self, node: usize) -> anyhow::Result<()> {
        let mut engine = self.nodes[node - 1].take().context("the engine does not run")?;
        engine.kill()?;
        engine.wait()?;
        kill_processes(&folder(node));
        Ok(())
    }

    /// Cuts a node off the others. It is still reachable from this machine.
    ///
    /// # Errors
    /// If the switch has no such port.
    pub fn cut_off(&self, node: usize) -> anyhow::Result<()> {
        ip(&format!("-n {SWITCH} link set port{node} down"))
    }

    /// Connects a node again after [`Swarm::cut_off`].
    ///
    /// # Errors
    /// If the switch has no such port.
    pub fn connect(&self, node: usize) -> anyhow::Result<()> {
        ip(&format!("-n {SWITCH} link set port{node} up"))
    }

    fn spawn(&mut self, node: usize) -> anyhow::Result<()> {
        let folder = folder(node);
        std::fs::create_dir_all(&folder)?;
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let engine = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", namespace(node)))
            .args(["unshare", "--mount", "--uts", "--propagation", "slave", "sh", "-c", NODE, "sh"])
            .arg(&folder)
            .args([Self::name(node), node.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run nsenter (of util-linux) and dockerd")?;
        self.nodes[node - 1] = Some(engine);
        Ok(())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            // `clear` kills what does not end.
            drop(node.kill());
            drop(node.wait());
        }
        clear();
    }
}

fn folder(node: usize) -> PathBuf {
    Path::new(FOLDER).join(format!("node{node}"))
}

fn namespace(node: usize) -> String {
    format!("windlass-sw{node}")
}

fn address(node: usize) -> String {
    format!("{NETWORK}.{node}")
}

async fn answers(node: usize) -> anyhow::Result<()> {
    let host = format!("unix://{}", folder(node).join("docker.sock").display());
    let answered = until("an engine of the Swarm to answer", LIMIT, async || {
        Engine::at(&host).await.map(drop).map_err(|error| format!("{error:#}"))
    });
    answered.await.with_context(|| {
        let log = std::fs::read_to_string(folder(node).join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(8).collect();
        format!("the last lines of dockerd's log: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    })
}

/// Joins this machine and a namespace for each node to the switch.
fn connect_networks() -> anyhow::Result<()> {
    ip(&format!("netns add {SWITCH}"))?;
    ip(&format!("-n {SWITCH} link add bridge type bridge"))?;
    ip(&format!("-n {SWITCH} link set bridge up"))?;
    ip(&format!("link add {LINK} type veth peer name port0 netns {SWITCH}"))?;
    ip(&format!("-n {SWITCH} link set port0 master bridge up"))?;
    ip(&format!("addr add {NETWORK}.254/24 dev {LINK}"))?;
    ip(&format!("link set {LINK} up"))?;
    for node in 1..=NODES {
        let name = namespace(node);
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {SWITCH} link add port{node} type veth peer name eth0 netns {name}"))?;
        ip(&format!("-n {SWITCH} link set port{node} master bridge up"))?;
        ip(&format!("-n {name} addr add {}/24 dev eth0", address(node)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} route add default via {NETWORK}.254"))?;
    }
    Ok(())
}

fn ip(line: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(line.split(' '))).map(drop)
}

/// Runs the command `docker` on the engine at this address, and returns its standard output.
///
/// # Errors
/// If the command fails; the text has its standard error.
pub async fn docker(host: &str, arguments: &[&str]) -> anyhow::Result<String> {
    finished(AsyncCommand::new("docker").args(["--host", host]).args(arguments)).await
}

/// Runs a command to its end, and returns its standard output.
///
/// # Errors
/// If the command fails; the text has its standard error.
pub async fn finished(command: &mut AsyncCommand) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    printed(&format!("{:?}", command.as_std()), output)
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    printed(&format!("{command:?}"), output)
}

fn printed(command: &str, output: std::io::Result<Output>) -> anyhow::Result<String> {
    let output = output.with_context(|| format!("cannot run {command}"))?;
    if !output.status.success() {
        bail!("{command}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Removes everything that a Swarm leaves behind, also one of a run that crashed: processes, control groups, namespaces, mounts,
/// files.
fn clear() {
    let control_groups = control_groups();
    kill_processes(Path::new(FOLDER));
    // A group is busy until the last process of its container is gone.
    until_blocking(Duration::from_secs(10), || {
        control_groups.iter().for_each(|group| drop(std::fs::remove_dir(group)));
        !control_groups.iter().any(|group| group.exists())
    });
    let quietly = |program: &str, arguments: &[&str]| {
        // It may be gone already.
        drop(Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status());
    };
    for name in (1..=NODES).map(namespace).chain([SWITCH.to_owned()]) {
        quietly("ip", &["netns", "delete", &name]);
    }
    quietly("ip", &["link", "delete", LINK]);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    mounts.retain(|path| path.starts_with(&format!("{FOLDER}/")));
    mounts.sort_unstable_by(|a, b| b.cmp(a));
    for path in mounts {
        quietly("umount", &["--lazy", path]);
    }
    drop(std::fs::remove_dir_all(FOLDER));
}

/// The control groups of the containers that the engines still know: nobody else removes those of a container whose engine was
/// killed.
fn control_groups() -> Vec<PathBuf> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let containers: Vec<String> = (1..=NODES).flat_map(|node| names(&folder(node).join("data/containers"))).collect();
    // Each controller has a hierarchy of its own, unless there is one for all.
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = names(root).into_iter().map(|name| root.join(name)).chain([root.to_owned()]);
    let groups = hierarchies.flat_map(|hierarchy| {
        let of = move |container: &String| hierarchy.join("docker").join(container);
        containers.iter().map(of).collect::<Vec<_>>()
    });
    groups.filter(|group| group.is_dir()).collect()
}

/// Kills the engines in a folder, and their containers: these survive a killed engine, and so do the processes that keep them.
fn kill_processes(folder: &Path) {
    until_blocking(Duration::from_secs(10), || {
        let left = processes(folder);
        for pid in &left {
            // It may have ended meanwhile.
            let _ = kill_process(*pid, Signal::KILL);
        }
        left.is_empty()
    });
}

/// The processes of the engines in a folder: those whose command line names it, except this one, and their children.
fn processes(folder: &Path) -> Vec<Pid> {
    let folder = format!("{}/", folder.display());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = numbers.filter(|number| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let program = line.split('\0').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let is_engine = ["dockerd", "containerd"].contains(&program) || program.starts_with("containerd-shim");
        is_engine && line.contains(&folder)
    });
    let mut all = Vec::new();
    for number in ours.collect::<Vec<i32>>() {
        // The children of a shim are the first processes of containers. Their namespace ends with them.
        let threads = std::fs::read_dir(format!("/proc/{number}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse().ok().and_then(Pid::from_raw)));
        }
        all.extend(Pid::from_raw(number));
    }
    all
}
