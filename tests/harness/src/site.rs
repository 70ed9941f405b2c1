//! Runs the program: each test has its own site with a process, and sends requests to it.

use crate::compiled::SharedCode;
use crate::engine::Engine;
use crate::log::Log;
use crate::response::{Response, client};
use crate::wait::until;
use anyhow::{Context, bail};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Time limit for Windlass to start listening, or to end. Other compilers may use both cores.
const PROCESS_LIMIT: Duration = Duration::from_secs(60);

/// The program under test: `WINDLASS_BIN`, otherwise the program built next to this one.
///
/// # Errors
/// If the program is missing; the text says what to do.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WINDLASS_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe()?;
    // target/<profile>/demo or target/<profile>/deps/<test>: one of the folders above has the program.
    let found = this.ancestors().skip(1).take(2).map(|folder| folder.join("windlass")).find(|path| path.is_file());
    found.with_context(|| {
        format!("no `windlass` next to `{}`; run `make test`, or `cargo build --workspace --bins`", this.display())
    })
}

/// A data directory, an instance name and a configuration, which several runs of Windlass share. Dropping the site
/// removes its containers and its folder.
pub struct Site {
    engine: Engine,
    instance: String,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
    detached: bool,
    user: Option<User>,
    runs: AtomicU32,
}

/// A user without privileges that runs the program, and the group that may use the container engine.
#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    engine_group: u32,
}

impl Site {
    /// A site on this machine's container engine.
    ///
    /// # Errors
    /// If no engine answers.
    pub async fn new(name: &str) -> anyhow::Result<Self> {
        Self::on(Engine::of_this_machine().await?, name)
    }

    /// A site on a container engine.
    ///
    /// # Errors
    /// If the site's folder cannot be created.
    pub fn on(engine: Engine, name: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let instance = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::Builder::new().prefix("windlass-test-").tempdir()?;
        let (settings, environment) = (Vec::new(), Vec::new());
        let runs = AtomicU32::new(0);
        Ok(Self { engine, instance, folder, settings, environment, detached: false, user: None, runs })
    }

    /// Sets a configuration key, such as `control.interval`, to a value in TOML.
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

    /// Starts the process in its own group, so that an interrupt from the keyboard does not reach it.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Runs the program as this user, without capabilities, in the group of the engine's socket. Only root can do that.
    ///
    /// # Errors
    /// If the engine has no socket on this machine, or the site's folder cannot be given to the user.
    pub fn owned_by(mut self, id: u32) -> anyhow::Result<Self> {
        let socket = self.engine.host().strip_prefix("unix://").context("the engine has no socket on this machine")?;
        let engine_group = std::fs::metadata(socket)?.gid();
        chown(self.folder(), Some(id), Some(id))?;
        // The user may not reach the build folder.
        let (built, program) = (binary()?, self.folder().join("windlass"));
        std::fs::hard_link(&built, &program).or_else(|_| std::fs::copy(&built, &program).map(drop))?;
        self.user = Some(User { id, engine_group });
        Ok(self)
    }

    /// The site's container engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The instance name, which is a label of the site's containers.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A folder that is removed with the site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Starts Windlass and waits until it listens and its policies are loaded.
    ///
    /// # Errors
    /// If Windlass ends before it listens; the text has its log.
    pub async fn start(&self) -> anyhow::Result<Windlass> {
        self.start_with(&["--listen", "127.0.0.1:0"]).await
    }

    /// [`Site::start`] with other arguments after `serve`.
    ///
    /// # Errors
    /// If Windlass ends before it listens; the text has its log.
    pub async fn start_with(&self, arguments: &[&str]) -> anyhow::Result<Windlass> {
        let windlass = self.begin_with(arguments).await?;
        let loaded = until("the policies to be loaded", PROCESS_LIMIT, async || {
            let is_loaded = windlass.log.find("every policy is loaded").is_some();
            if is_loaded { Ok(()) } else { Err("no log line `every policy is loaded`".to_owned()) }
        });
        loaded.await.with_context(|| windlass.log.text())?;
        if let Some(shared) = SharedCode::open()? {
            shared.take(&self.data_dir())?;
        }
        Ok(windlass)
    }

    /// [`Site::start_with`], without the wait for the policies.
    ///
    /// # Errors
    /// If Windlass ends before it listens; the text has its log.
    pub async fn begin_with(&self, arguments: &[&str]) -> anyhow::Result<Windlass> {
        if let Some(shared) = SharedCode::open()? {
            shared.give(&self.data_dir())?;
        }
        let mut windlass = self.spawn(arguments)?;
        let announced = until("windlass to listen", PROCESS_LIMIT, async || match windlass.process.try_wait() {
            Ok(None) => windlass.log.address().map(Ok).ok_or("no log line `listening`".to_owned()),
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

    /// Runs Windlass with a configuration that it must reject. Returns its exit status and its standard error.
    ///
    /// # Errors
    /// If Windlass does not end by itself.
    pub async fn refuse(&self, arguments: &[&str]) -> anyhow::Result<(ExitStatus, String)> {
        let mut windlass = self.spawn(arguments)?;
        let status = windlass.ended().await?;
        Ok((status, windlass.log.text()))
    }

    /// Keeps Windlass, its containers and its folder when this program ends, and returns the folder.
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

    /// `windlass serve` with the site's configuration and these arguments.
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let configuration = self.folder().join("windlass.toml");
        std::fs::write(&configuration, self.configuration())?;
        let mut command = match self.user {
            None => Command::new(binary()?),
            Some(User { id, engine_group }) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={id}"), format!("--regid={id}"), format!("--groups={engine_group}")]);
                command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]);
                command.arg(self.folder().join("windlass"));
                command
            }
        };
        // Variables of the person who runs the tests must not reach the process.
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
            ("store.data_dir", json!(self.data_dir()).to_string()),
            ("engine.instance", json!(self.instance).to_string()),
            ("engine.host", json!(self.engine.host()).to_string()),
        ];
        let is_set = |key: &str| self.settings.iter().any(|(known, _)| *known == key);
        let own = own.into_iter().filter(|(key, _)| !is_set(key));
        let settings = own.chain(self.settings.iter().cloned());
        settings.map(|(key, value)| format!("{key} = {value}\n")).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let (host, instance) = (self.engine.host().to_owned(), self.instance.clone());
        // A destructor cannot wait on the test's own runtime; it can wait on a runtime in another thread.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let engine = Engine::at(&host).await?;
                engine.remove_all(&instance).await;
                anyhow::Ok(())
            })
        });
        // If the engine is gone, so are its containers.
        drop(cleaner.join());
    }
}

/// A running Windlass. Dropping the value kills the process; the containers stay until the [`Site`] is dropped.
pub struct Windlass {
    process: Child,
    log: Log,
    address: String,
    token: Option<String>,
}

impl Windlass {
    /// The address on which Windlass listens, such as `127.0.0.1:43210`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process identifier.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Sends a token with every later request.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// `GET path`.
    ///
    /// # Panics
    /// If there is no answer; the same holds for the other requests.
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

    /// Sends a request whose body is declared as JSON, even if it is not.
    ///
    /// # Panics
    /// If there is no answer; the text has the log.
    pub async fn request(&self, method: Method, path: &str, body: Option<String>) -> Response {
        match self.try_request(method.clone(), path, body).await {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: {error:#}\n{}", self.log.text()),
        }
    }

    /// [`Windlass::request`] for a request that may have no answer.
    ///
    /// # Errors
    /// If there is no answer.
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
    /// If there is no answer.
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

    /// Kills the process like `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// If the process cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Sends SIGTERM, and waits until the process has ended.
    ///
    /// # Errors
    /// If the process does not end.
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
            // This is the only output that shows the log of a failed test.
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

/// The body of a start request for an image, with small resource limits.
pub fn start_body(image: &str, min_replicas: u32, max_replicas: u32) -> Value {
    json!({
        "image": image,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "resources": {"cpu": "0.5", "memory": "64m"},
    })
}

/// The exit code of a process, or the signal that ended it.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}
