//! Sends damaged requests to the API of a new Windlass with a simulated engine.
//!
//! An input is a list of HTTP requests, separated by lines that begin with `###`. Each is sent on a connection of its own, with
//! `connection: close`, and with the length of its body if it has no `content-length`.

use crate::fuzz::target::Target;
use crate::fuzz::targets::runtime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_api::ApiState;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::settings::{ApiSettings, ControlSettings};
use windlass_discovery::Discovery;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::no_network::Nobody;
use windlass_tests::policies;

/// The most requests of an input that are sent.
const MOST_REQUESTS: usize = 12;

/// Time after which the client ends its side of a connection without an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time limit of the answer after that.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) const TARGET: Target = Target {
    name: "requests",
    cases: 60,
    seeds: Vec::new,
    words: &[
        "\n###\n",
        "GET ",
        "PUT ",
        "DELETE ",
        "PATCH ",
        "POST ",
        "/start/container",
        "/images/web/scale",
        "/images/web/metrics",
        "/images/web/overrides",
        "/images/web/decisions?limit=1000",
        "/containers/web-1",
        "/policies/min-max",
        "%2F",
        "%FF",
        "?",
        "&",
        "HTTP/1.0",
        "content-length: 99999999\n",
        "content-length: 0\n",
        "transfer-encoding: chunked\n",
        "expect: 100-continue\n",
        "content-type: application/json\n",
        "authorization: Bearer x\n",
        "\"replicas\": ",
        "\"ports\": {\"80/tcp\": \"8000-8010\"}",
        "\"depends_on\": [\"web\"]",
        "\"stop_hook\": {}",
        "\"env\": {\"\": \"\"}",
        "\"guardrails\": {\"grace\": \"0s\"}",
        "\"1h\"",
    ],
    start: || Box::new(|input| runtime().block_on(send_all(input))),
};

/// Serves the API of a new Windlass until the runtime ends.
async fn serve() -> SocketAddr {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = policies::registry();
    let controller = Controller::begin(Parts {
        engine: Arc::new(SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO)).into(),
        // The files stay open after their folder was removed.
        store: Arc::new(SqliteStore::open(&folder.path().join("data"), 10).expect("a store")),
        policies: registry.clone(),
        net: Arc::new(Nobody),
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock: Clock::System,
    });
    let controller = controller.expect("an empty store is read");
    let settings = ApiSettings::default();
    let discovery = Discovery::new(controller.clone(), None);
    let state = ApiState::new(controller, registry, discovery, Arc::new(settings.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let router = windlass_api::router(state);
        windlass_api::serve(listener, router, &settings, std::future::pending()).await
    });
    address
}

/// Sends the requests of an input. Returns whether one of them was carried out.
async fn send_all(input: &[u8]) -> bool {
    let (address, mut is_done) = (serve().await, false);
    for request in requests(input).into_iter().take(MOST_REQUESTS) {
        is_done |= is_success(&request, &send(address, &request).await);
    }
    is_done
}

/// The requests of an input.
fn requests(input: &[u8]) -> Vec<Vec<u8>> {
    let mut requests: Vec<Vec<u8>> = vec![Vec::new()];
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match (line.starts_with(b"###"), requests.last_mut()) {
            (false, Some(request)) => request.extend(line),
            _ => requests.push(Vec::new()),
        }
    }
    requests.iter().filter(|request| !request.is_empty()).map(|request| whole(request)).collect()
}

/// A request with the length of its body, unless it has one, and without another one after it on the same connection.
fn whole(request: &[u8]) -> Vec<u8> {
    let end = request.windows(2).position(|pair| pair == b"\n\n").unwrap_or(request.len());
    let (head, body) = (&request[..end], request.get(end + 2..).unwrap_or_default());
    let mut whole = head.to_vec();
    if !head.to_ascii_lowercase().windows(15).any(|part| part == b"content-length:") {
        whole.extend(format!("\ncontent-length: {}", body.len()).bytes());
    }
    whole.extend(b"\nconnection: close\n\n");
    whole.extend(body);
    whole
}

/// The answers on one connection. Empty if the server closes it without one.
async fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.expect("the server accepts");
    // The server may close the connection before it has read a request that it rejects.
    let _closed = tokio::time::timeout(PATIENCE, connection.write_all(request)).await;
    let (mut answer, mut limit) = (Vec::new(), PATIENCE);
    loop {
        match tokio::time::timeout(limit, connection.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return answer,
            Ok(Ok(_)) => {}
            // The server waits for the rest of the request.
            Err(_) if limit == PATIENCE => {
                let _closed = connection.shutdown().await;
                limit = LIMIT;
            }
            Err(_) => panic!("no answer to {}", String::from_utf8_lossy(request)),
        }
    }
}

/// Whether an answer is a success. Panics if it is an error of the server.
fn is_success(request: &[u8], answer: &[u8]) -> bool {
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_default();
    // Busy, or not ready.
    let is_error = status.starts_with(b"5") && status != b"503";
    let shown = String::from_utf8_lossy;
    assert!(!is_error, "{}\n{}", shown(request), shown(answer));
    status.starts_with(b"2")
}
