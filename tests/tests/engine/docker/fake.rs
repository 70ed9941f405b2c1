//! Sockets that replace an engine: a proxy, a silent engine, and one with scripted answers.

use super::fixture::socket;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A socket with a server. Dropping the value ends the server and its connections.
pub(crate) struct Server {
    path: PathBuf,
    _connections: JoinSet<()>,
}

impl Server {
    /// Serves each connection to `path` with `serve`.
    fn listen<F>(path: &Path, serve: impl Fn(UnixStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection));
            }
        });
        Self { path: path.to_owned(), _connections: task }
    }

    /// A proxy of the real engine at `path`.
    pub(crate) fn proxy(path: &Path) -> Self {
        Self::listen(path, |mut client| async move {
            if let Ok(mut engine) = UnixStream::connect(socket()).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
            }
        })
    }

    /// An engine that closes every connection, and sends the time of each.
    pub(crate) fn hanging_up(path: &Path, told: UnboundedSender<Instant>) -> Self {
        Self::listen(path, move |connection| {
            drop(connection);
            // The receiver may be gone.
            let _ = told.send(Instant::now());
            std::future::ready(())
        })
    }

    /// An engine that accepts every request and answers none.
    pub(crate) fn silent(path: &Path) -> Self {
        Self::listen(path, |connection| async move {
            let _held = connection;
            std::future::pending::<()>().await;
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A request to the scripted engine.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and path: `GET /v1.41/info`.
    pub(crate) line: String,
    /// Header lines.
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// An engine that answers through a function and records its requests.
pub(crate) struct MadeUp {
    folder: TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
    _server: Server,
}

impl MadeUp {
    /// `answer`: from `GET /containers/json` (without version and query) to a status and a JSON body.
    pub(crate) fn start(answer: fn(&str) -> (u16, &'static str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let server = Server::listen(&folder.path().join("engine.sock"), move |mut connection| {
            let seen = Arc::clone(&seen);
            async move {
                let Some(request) = read_request(&mut connection).await else { return };
                let (status, body) = answer(&plain(&request.line));
                seen.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = connection.shutdown().await;
            }
        });
        Self { folder, requests, _server: server }
    }

    pub(crate) fn socket(&self) -> String {
        self.folder.path().join("engine.sock").display().to_string()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// `GET /v1.41/containers/json?all=true` → `GET /containers/json`.
fn plain(line: &str) -> String {
    let (method, path) = line.split_once(' ').unwrap();
    let path = path.split('?').next().unwrap();
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    format!("{method} {path}")
}

async fn read_request(connection: &mut UnixStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let request = Request { line, headers: lines.map(str::to_owned).collect() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}
