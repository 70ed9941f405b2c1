//! A Docker engine of a test's own, beside the machine's, that it may stop and start.

use crate::engine::Engine;
use crate::wait::until;
use anyhow::{Context, bail};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to answer, or to end.
const LIMIT: Duration = Duration::from_secs(40);

/// An engine without networks, in a folder of its own. It ends with its value.
pub struct PrivateEngine {
    folder: TempDir,
    process: Option<Child>,
}

impl PrivateEngine {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no `dockerd`, this is not root, or it does not come up; with its last lines.
    pub async fn start() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("an engine of one's own needs root: `make test` asks for it through sudo");
        }
        let mut engine = Self { folder: tempfile::Builder::new().prefix("windlass-engine-").tempdir()?, process: None };
        engine.resume().await?;
        Ok(engine)
    }

    /// Where it listens.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }

    /// The engine, while it runs.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn engine(&self) -> anyhow::Result<Engine> {
        Engine::at(&self.host()).await
    }

    /// Starts it again after [`PrivateEngine::stop`], on the same folder.
    ///
    /// # Errors
    /// When it does not come up; with its last lines.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"))?;
        // No bridge and no firewall rules: the machine's network is the other engine's.
        let process = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid"), "--host", &self.host()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run dockerd, which `make setup` installs")?;
        self.process = Some(process);
        let answered = until("the private engine to answer", LIMIT, async || {
            self.engine().await.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await;
        answered.with_context(|| {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(8).collect();
            format!("dockerd said: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        })
    }

    /// Stops it, and with it every container it runs.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM)?;
        let ended = until("the private engine to end", LIMIT, async || match process.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        if ended.is_err() {
            process.kill()?;
            process.wait()?;
        }
        ended
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Asked to end, it ends its containers and takes its mounts away; `wait` returns when it has.
        if rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM)
            .is_ok()
        {
            drop(process.wait());
        }
    }
}
