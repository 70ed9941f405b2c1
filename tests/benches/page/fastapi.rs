//! The same JSON, served by FastAPI.

use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A service in Python. It ends when it is dropped.
pub(crate) struct FastApi {
    pub(crate) url: String,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl FastApi {
    /// Starts the service. Its packages are installed once, into a Python environment in `folder`.
    pub(crate) async fn start(folder: &Path, workloads: &str) -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/page");
        let python = folder.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder))
                .await
                .context("Debian has it in python3-venv")?;
        }
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(install).arg(here.join("requirements.txt"))).await?;
        let data = tempfile::tempdir()?;
        let file = data.path().join("workloads.json");
        std::fs::write(&file, workloads)?;
        let mut process = Command::new(&python)
            .arg(here.join("service.py"))
            .arg(&file)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("a pipe")?);
        let port = output.lines().next_line().await?.context("the service ended")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}/workloads"), _process: process, _folder: data })
    }
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().await.with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
