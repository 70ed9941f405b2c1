//! A server that notes what is posted to it, for `DISCOVERY_CALLBACK`.

use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers every request with 200 and keeps its JSON body. It ends with its value.
pub struct Callback {
    url: String,
    received: Arc<Mutex<Vec<Value>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Callback {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// When there is none.
    pub async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/discovered", listener.local_addr()?);
        let received = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&received);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = Arc::clone(&notes);
                tokio::spawn(async move {
                    if let Ok(body) = answer(stream).await {
                        notes.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                    }
                });
            }
        });
        Ok(Self { url, received, server })
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything posted so far, in the order it came.
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads one request with a `content-length` and returns its body.
async fn answer(mut stream: TcpStream) -> anyhow::Result<Value> {
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
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            return Ok(serde_json::from_slice(&request[end + 4..end + 4 + length])?);
        }
    }
}
