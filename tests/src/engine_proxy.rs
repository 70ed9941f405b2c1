//! A proxy in front of the container engine that counts requests, refuses some, or leaves them without an answer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The treatment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Answer with status 403, as proxies that allow only some endpoints do.
    Refuse,
    /// Never answer.
    Hang,
    /// Answer with JSON that is not a container.
    Garble,
}

type Rules = Arc<Mutex<Vec<(String, Treatment)>>>;

/// A proxy on a socket of its own. Dropping the value ends it.
pub struct EngineProxy {
    socket: PathBuf,
    rules: Rules,
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl EngineProxy {
    /// Listens at `socket` and forwards to the engine at `host`, which is `unix:///path`.
    ///
    /// # Errors
    /// If the socket cannot be created, or the engine has another kind of address.
    pub fn start(socket: &Path, host: &str) -> anyhow::Result<Self> {
        let Some(engine) = host.strip_prefix("unix://").map(PathBuf::from) else {
            anyhow::bail!("the proxy needs an engine behind a Unix socket, not `{host}`");
        };
        let listener = UnixListener::bind(socket)?;
        let rules = Rules::default();
        let requests = Arc::<AtomicU64>::default();
        let (of_server, counter) = (Arc::clone(&rules), Arc::clone(&requests));
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (engine, rules) = (engine.clone(), Arc::clone(&of_server));
                // A client that breaks off is no fault of the proxy.
                tokio::spawn(async move { drop(serve(client, &engine, &rules).await) });
            }
        });
        Ok(Self { socket: socket.to_owned(), rules, requests, server })
    }

    /// The proxy's address.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The number of requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Treats requests whose first line contains `part` in this way from now on.
    pub fn treat(&self, part: &str, treatment: Treatment) {
        self.rules.lock().expect("no holder panics").push((part.to_owned(), treatment));
    }

    /// Forwards every request again.
    pub fn forward_all(&self) {
        self.rules.lock().expect("no holder panics").clear();
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves one connection. Windlass opens one for each request, so the first request decides.
async fn serve(mut client: UnixStream, engine: &Path, rules: &Rules) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(2).any(|pair| pair == b"\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let rule = |(part, _): &&(String, Treatment)| line.contains(part);
    let treatment = rules.lock().expect("no holder panics").iter().find(rule).map(|(_, treatment)| *treatment);
    let answer = match treatment {
        Some(Treatment::Refuse) => {
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<b>denied</b>"
        }
        Some(Treatment::Garble) => {
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"Id\": [1]}"
        }
        Some(Treatment::Hang) => {
            // Until the client gives up.
            while client.read_buf(&mut head).await? > 0 {}
            return Ok(());
        }
        None => {
            let mut engine = UnixStream::connect(engine).await?;
            engine.write_all(&head).await?;
            tokio::io::copy_bidirectional(&mut client, &mut engine).await?;
            return Ok(());
        }
    };
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}
