//! A server that records the requests it receives, for `DISCOVERY_CALLBACK`.

use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers a request with 200 and keeps its JSON body, or rejects it if told to by [`Callback::refuse`]. Dropping the
/// value ends the server.
pub struct Callback {
    url: String,
    received: Arc<Mutex<Vec<Value>>>,
    refusals: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Callback {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/discovered", listener.local_addr()?);
        let received = Arc::new(Mutex::new(Vec::new()));
        let refusals = Arc::<AtomicUsize>::default();
        let (notes, refused) = (Arc::clone(&received), Arc::clone(&refusals));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (notes, refused) = (Arc::clone(&notes), Arc::clone(&refused));
                tokio::spawn(async move {
                    if let Ok(Some(body)) = answer(stream, &refused).await {
                        notes.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                    }
                });
            }
        });
        Ok(Self { url, received, refusals, server })
    }

    /// The URL to post to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers the next `times` requests with 503, and does not keep them.
    pub fn refuse(&self, times: usize) {
        self.refusals.store(times, Ordering::SeqCst);
    }

    /// The number of requests that are still to be rejected.
    pub fn refusals_left(&self) -> usize {
        self.refusals.load(Ordering::SeqCst)
    }

    /// Every body so far, in the order of arrival.
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads one request with a `content-length` and returns its body; `None` if the request was rejected.
async fn answer(mut stream: TcpStream, refusals: &AtomicUsize) -> anyhow::Result<Option<Value>> {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0_u8; 4096];
        let read = stream.read(&mut chunk).await?;
        anyhow::ensure!(read > 0, "the request ended early");
        request.extend_from_slice(&chunk[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or_default();
        if request.len() >= end + 4 + length {
            let refuses = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let status = if refuses { "503 Service Unavailable" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let body = &request[end + 4..end + 4 + length];
            return if refuses { Ok(None) } else { Ok(Some(serde_json::from_slice(body)?)) };
        }
    }
}
