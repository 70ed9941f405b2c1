//! A server without a container engine, for tests of commands that need none.

use crate::commands::{Caller, Running};
use crate::wait::until;
use anyhow::Context as _;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use windlass_harness::compiled::SharedCode;

/// Time limit for the server to answer.
const LIMIT: Duration = Duration::from_secs(120);

/// A running server. Dropping the value kills it.
pub struct LoneServer {
    _process: Running,
    folder: TempDir,
    address: String,
    /// The certificate of the authority that signed that of the server. `None` without TLS.
    authority: Option<PathBuf>,
}

impl LoneServer {
    /// Starts a server on a port of the loopback, whose callers need a token, and waits for it.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn start(token: &str) -> anyhow::Result<Self> {
        Self::begin(token, false).await
    }

    /// As [`LoneServer::start`], with HTTPS.
    ///
    /// # Errors
    /// As [`LoneServer::start`], and if no certificate can be made.
    pub async fn start_with_tls(token: &str) -> anyhow::Result<Self> {
        Self::begin(token, true).await
    }

    async fn begin(token: &str, with_tls: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let caller =
            Caller::new()?.with("WINDLASS_TOKEN", token).with("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        // A caller of a Unix socket needs no token, so the server listens on a port. The port was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let path = |name: &str| folder.path().join(name);
        let mut settings = format!("api.listen = '{address}'\nstore.data_dir = {:?}\n", path("data"));
        let authority = with_tls.then(|| path("tls/ca.pem"));
        if with_tls {
            let files = path("tls");
            caller.run(&["tls", "init", "--folder", files.to_str().context("a plain path")?])?.ok();
            let (certificate, key) = (files.join("certificate.pem"), files.join("key.pem"));
            settings += &format!("api.tls_certificate = {certificate:?}\napi.tls_key = {key:?}\n");
        }
        // Otherwise the server compiles its policies before it answers.
        if let Some(shared) = SharedCode::open()? {
            shared.give(&path("data"))?;
        }
        let file = path("windlass.toml");
        fs::write(&file, settings)?;
        let mut command = caller.windlass(&["serve", "--config", file.to_str().context("a plain path")?])?;
        // The home folder of this caller ends before the server does.
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log"))?);
        let server = Self { _process: Running(command.spawn()?), folder, address, authority };
        until("the server to answer", LIMIT, async || {
            let ended =
                server.caller(token).and_then(|caller| caller.run(&["health"])).map_err(|error| error.to_string())?;
            if ended.code == Some(0) { Ok(()) } else { Err(format!("{ended:?}\n{}", server.log())) }
        })
        .await?;
        Ok(server)
    }

    /// The host and the port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address with its scheme.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate of the authority that signed that of the server.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// The log so far. Each line is an object of JSON.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A person whose commands use this server with a token.
    ///
    /// # Errors
    /// If there is no room for a home folder.
    pub fn caller(&self, token: &str) -> anyhow::Result<Caller> {
        let caller = Caller::new()?.with("WINDLASS_SERVER", &self.url()).with("WINDLASS_TOKEN", token);
        Ok(match self.authority.as_ref().and_then(|file| file.to_str()) {
            Some(file) => caller.with("WINDLASS_CA_FILE", file),
            None => caller,
        })
    }

    /// Creates a token with `windlass token create`. `caller` is an administrator. Returns the token and its identifier.
    ///
    /// # Errors
    /// If the command cannot be run, or its answer has no token.
    pub fn create_token(caller: &Caller, arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let created = caller.run(&[&["token", "create"][..], arguments, &["-o", "json"]].concat())?.json();
        let field = |name: &str| created[name].as_str().map(str::to_owned).with_context(|| created.to_string());
        Ok((field("token")?, field("id")?))
    }

    /// The lines of the log about changes that people made.
    #[must_use]
    pub fn changes(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == "a change").collect()
    }
}
