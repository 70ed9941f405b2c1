//! Runs the binary: a place of its own for each test, the process in it, requests to it.

use crate::engine::Engine;
use crate::response::{Response, client};
use crate::wait::until;
use anyhow::{Context, bail};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// How long Windlass may take to listen, or to end. Two busy cores may be compiling beside it.
const PROCESS_LIMIT: Duration = Duration::from_secs(60);

/// The binary under test: `WINDLASS_BIN`, else the one built beside this program.
///
/// # Errors
/// When it is not there, with what to do.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WINDLASS_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe()?;
    // target/<profile>/demo or target/<profile>/deps/<test>: the binary is in one of the folders above.
    let found = this.ancestors().skip(1).take(2).map(|folder| folder.join("windlass")).find(|path| path.is_file());
    found.with_context(|| {
        format!("no windlass beside `{}`: `make test` builds it, or `cargo build --workspace --bins`", this.display())
    })
}

/// A data directory, an instance name and a configuration: where a Windlass runs, stops and runs again.
///
/// Its containers and its folder go with it.
pub struct Site {
    engine: Engine,
    instance: String,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
    detached: bool,
    runs: AtomicU32,
}

impl Site {
    /// A site on the engine of this machine.
    ///
    /// # Errors
    /// When no engine answers.
    pub async fn new(name: &str) -> anyhow::Result<Self> {
        Self::on(Engine::of_this_machine().await?, name)
    }

    /// A site on this engine.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn on(engine: Engine, name: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let instance = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::Builder::new().prefix("windlass-test-").tempdir()?;
        let (settings, environment) = (Vec::new(), Vec::new());
        Ok(Self { engine, instance, folder, settings, environment, detached: false, runs: AtomicU32::new(0) })
    }

    /// Sets a setting: `control.interval`, and its value as TOML writes it.
    pub fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value.to_owned()));
        self
    }

    /// Adds an environment variable of the process.
    pub fn environment(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Keeps the process out of this program's group, so that an interrupt from the keyboard does not reach it.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// The engine it runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The name its containers bear.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A folder that goes with the site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts Windlass here and waits until it listens.
    ///
    /// # Errors
    /// When it ends before; with what it logged.
    pub async fn start(&self) -> anyhow::Result<Windlass> {
        self.start_with(&["--listen", "127.0.0.1:0"]).await
    }

    /// [`Site::start`] with other arguments after `serve`.
    ///
    /// # Errors
    /// When it ends before it listens; with what it logged.
    pub async fn start_with(&self, arguments: &[&str]) -> anyhow::Result<Windlass> {
        let mut windlass = self.spawn(arguments)?;
        let announced = until("windlass to listen", PROCESS_LIMIT, async || match windlass.process.try_wait() {
            Ok(None) => windlass.log.address().map(Ok).ok_or("it does not say so yet".to_owned()),
            Ok(Some(status)) => Ok(Err(status)),
            Err(error) => Err(error.to_string()),
        });
        match announced.await {
            Ok(Ok(address)) => windlass.address = address,
            Ok(Err(status)) => bail!("windlass ended with {}\n{}", ending(status), windlass.log.text()),
            Err(error) => bail!("{error:#}\n{}", windlass.log.text()),
        }
        Ok(windlass)
    }

    /// Runs Windlass here for one that is to refuse: its status and what it said on standard error.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub async fn refuse(&self, arguments: &[&str]) -> anyhow::Result<(ExitStatus, String)> {
        let mut windlass = self.spawn(arguments)?;
        let status = windlass.ended().await?;
        Ok((status, windlass.log.text()))
    }

    /// Lets Windlass, its containers and its folder stay when this program ends, and says where the folder is.
    pub fn leave(self, windlass: Windlass) -> PathBuf {
        let folder = self.folder().to_owned();
        std::mem::forget(windlass);
        std::mem::forget(self);
        folder
    }

    fn spawn(&self, arguments: &[&str]) -> anyhow::Result<Windlass> {
        let log = self.folder().join(format!("log.{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        let mut command = self.command(arguments)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        if self.detached {
            command.process_group(0);
        }
        let process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Windlass { process, log: Log(log), address: String::new(), token: None })
    }

    /// `windlass serve` with this site's configuration and these arguments.
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let configuration = self.folder().join("windlass.toml");
        std::fs::write(&configuration, self.configuration())?;
        let mut command = Command::new(binary()?);
        // What the person who runs the tests has set is not to reach the process.
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("WINDLASS_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--config").arg(&configuration).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// The configuration file, one dotted key a line.
    fn configuration(&self) -> String {
        let own = [
            ("store.data_dir", json!(self.folder().join("data")).to_string()),
            ("engine.instance", json!(self.instance).to_string()),
            ("engine.host", json!(self.engine.host()).to_string()),
        ];
        let settings = own.into_iter().chain(self.settings.iter().cloned());
        settings.map(|(key, value)| format!("{key} = {value}\n")).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let (host, instance) = (self.engine.host().to_owned(), self.instance.clone());
        // A test's own runtime cannot be waited on from here; one on another thread can.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let engine = Engine::at(&host).await?;
                engine.remove_all(&instance).await;
                anyhow::Ok(())
            })
        });
        // An engine that is gone has no containers left to remove.
        drop(cleaner.join());
    }
}

/// A running Windlass. It is killed with its value; its containers stay until its [`Site`] goes.
pub struct Windlass {
    process: Child,
    log: Log,
    address: String,
    token: Option<String>,
}

impl Windlass {
    /// Where it listens: `127.0.0.1:43210`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Sends this token with every request from now on.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// `GET path`.
    ///
    /// # Panics
    /// When there is no answer, as the other requests do.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path, None).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path, Some(body.to_string())).await
    }

    /// `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Response {
        self.request(Method::PATCH, path, Some(body.to_string())).await
    }

    /// `PUT path` with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Response {
        self.request(Method::PUT, path, Some(body.to_string())).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path, None).await
    }

    /// One request, its body sent as JSON whether it is or not.
    ///
    /// # Panics
    /// When there is no answer, with what Windlass logged.
    pub async fn request(&self, method: Method, path: &str, body: Option<String>) -> Response {
        match self.try_request(method.clone(), path, body).await {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: {error:#}\n{}", self.log.text()),
        }
    }

    /// [`Windlass::request`] for one that may get no answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn try_request(&self, method: Method, path: &str, body: Option<String>) -> anyhow::Result<Response> {
        let mut request = client().request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        self.send(request).await
    }

    /// `PUT path` with a component as body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn put_component(&self, path: &str, component: Vec<u8>) -> Response {
        let request = client().put(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/wasm").header("from", "ada@example.org");
        self.send(request.body(component))
            .await
            .unwrap_or_else(|error| panic!("PUT {path}: {error:#}\n{}", self.log.text()))
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Response::read(request.send().await?).await
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        self.ended().await
    }

    async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let process = &mut self.process;
        let ended = until("windlass to end", PROCESS_LIMIT, async || match process.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        ended.await.with_context(|| self.log.text())
    }
}

impl Drop for Windlass {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The one place where the log of a failed test can be seen.
            let log = self.log.text();
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
            {
                eprintln!("windlass logged:\n{log}");
            }
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a process writes on standard error: a file, so that it can go on when this program has ended.
struct Log(PathBuf);

impl Log {
    fn text(&self) -> String {
        std::fs::read(&self.0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The field `address` of the line `listening`.
    fn address(&self) -> Option<String> {
        self.text().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            // With and without `flatten_event` the fields stand in another place.
            let fields = line.get("fields").unwrap_or(&line);
            (fields["message"] == "listening").then(|| fields["address"].as_str().map(str::to_owned))?
        })
    }
}

/// The body of a start for this image, with small limits.
pub fn start_body(image: &str, min_replicas: u32, max_replicas: u32) -> Value {
    json!({
        "image": image,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "resources": {"cpu": "0.5", "memory": "64m"},
    })
}

/// How a process ended: its code, or the signal that killed it.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}
