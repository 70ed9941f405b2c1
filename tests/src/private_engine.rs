//! A second Docker engine that a test may stop and start.

use crate::engine::Engine;
use crate::wait::until;
use anyhow::{Context, bail};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Time limit for the engine to answer, or to end.
const LIMIT: Duration = Duration::from_secs(40);

/// An engine without networks in a folder of its own. Dropping the value ends it.
pub struct PrivateEngine {
    folder: TempDir,
    process: Option<Child>,
}

impl PrivateEngine {
    /// Starts an engine.
    ///
    /// # Errors
    /// If there is no `dockerd`, the user is not root, or the engine does not start; the text has its last log lines.
    pub async fn start() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("starting a private engine needs root: run `make test`, which uses sudo");
        }
        let mut engine = Self { folder: tempfile::Builder::new().prefix("windlass-engine-").tempdir()?, process: None };
        engine.resume().await?;
        Ok(engine)
    }

    /// The engine's address.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock"))
    }

    /// A client of the engine while it runs.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn engine(&self) -> anyhow::Result<Engine> {
        Engine::at(&self.host()).await
    }

    /// Starts the engine again on the same folder after [`PrivateEngine::stop`].
    ///
    /// # Errors
    /// If the engine does not start; the text has its last log lines.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"))?;
        // No bridge, no firewall rules, and a network namespace of its own: an engine without a bridge removes any
        // `docker0` that it finds, and that one belongs to the machine's engine. `unshare` becomes dockerd.
        let process = Command::new("unshare")
            .args(["--net", "--mount", "dockerd"])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec")])
            .args(["--pidfile", &self.path("pid"), "--host", &self.host()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run unshare (of util-linux) and dockerd")?;
        self.process = Some(process);
        let answered = until("the private engine to answer", LIMIT, async || {
            self.engine().await.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await;
        answered.with_context(|| {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(8).collect();
            format!("the last lines of dockerd's log: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        })
    }

    /// Stops the engine and every container on it.
    ///
    /// # Errors
    /// If the engine does not end.
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
        // On SIGTERM the engine ends its containers and unmounts its file systems; `wait` returns after that.
        if rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM)
            .is_ok()
        {
            drop(process.wait());
        }
    }
}
