//! The limits, with a trivial router over real connections.

use crate::body::whole;
use crate::server::*;
use axum::routing::{get, post};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time limit for every step of a test.
const BOUND: Duration = Duration::from_secs(20);

/// A body without end.
fn endless() -> impl futures_util::Stream<Item = io::Result<Vec<u8>>> {
    futures_util::stream::repeat_with(|| Ok(vec![b' '; 64 << 10]))
}

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
    /// One for each request that reached `/slow`.
    reached: Arc<Semaphore>,
    /// Lets the requests to `/slow` end.
    release: Arc<Notify>,
}

async fn served(settings: ApiSettings) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let reached = Arc::new(Semaphore::new(0));
    let release = Arc::new(Notify::new());
    let slow = {
        let (reached, release) = (reached.clone(), release.clone());
        move || async move {
            let released = release.notified();
            reached.add_permits(1);
            released.await;
            "slow"
        }
    };
    let read = {
        let reached = reached.clone();
        move |request: Request| async move {
            reached.add_permits(1);
            whole(request).await.map(|body| format!("{} bytes", body.len()))
        }
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/read", post(read))
        .route("/health", get(|| async { "well" }))
        .route("/panic", get(|| async { panic!("secret") as () }))
        .route("/endless", get(|| async { Body::from_stream(endless()) }))
        .route("/slow", get(slow));
    let ended = tokio::spawn(async move {
        serve(listener, router, &settings, async {
            let _ = stopped.await;
        })
        .await
    });
    Served { address, stop, ended, reached, release }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Waits until one more request is in hand.
    async fn is_reached(&self) {
        timeout(BOUND, self.reached.acquire()).await.expect("in time").expect("open").forget();
    }
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
}

/// Everything up to the end of the connection, within the bound.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    // A connection that is cut off may end with an error: what came before it counts.
    let _ = timeout(BOUND, stream.read_to_string(&mut text)).await.expect("in time");
    text
}

async fn get_once(served: &Served, path: &str) -> String {
    let mut stream = served.connect().await;
    ask(&mut stream, path).await;
    answer(&mut stream).await
}

#[tokio::test]
async fn headers_that_dawdle_end_the_connection() {
    let served = served(ApiSettings { header_timeout: Duration::from_millis(100), ..ApiSettings::default() }).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.expect("sent");
    assert!(!answer(&mut stream).await.contains("200 OK"));
    // A connection without any request ends, too.
    assert_eq!(answer(&mut served.connect().await).await, "");
    assert!(get_once(&served, "/").await.ends_with("hello"));
}

#[tokio::test]
async fn connections_past_the_limit_wait_for_room() {
    let served = served(ApiSettings { connections: 1, ..ApiSettings::default() }).await;
    let mut first = served.connect().await;
    ask(&mut first, "/slow").await;
    served.is_reached().await;
    let mut second = served.connect().await;
    ask(&mut second, "/").await;
    let mut byte = [0];
    let early = timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "served past the limit");
    served.release.notify_waiters();
    assert!(answer(&mut first).await.ends_with("slow"));
    assert!(answer(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn requests_past_the_limit_are_told_so_but_health_is_answered() {
    let served = served(ApiSettings { concurrent_requests: 1, ..ApiSettings::default() }).await;
    let mut first = served.connect().await;
    ask(&mut first, "/slow").await;
    served.is_reached().await;
    let refused = get_once(&served, "/").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("application/problem+json"), "{refused}");
    assert!(get_once(&served, "/health").await.ends_with("well"));
    served.release.notify_waiters();
    assert!(answer(&mut first).await.ends_with("slow"));
    assert!(get_once(&served, "/").await.ends_with("hello"));
}

/// More than the buffers of a connection hold: a client that has sent all of it was read.
const LARGE: usize = 32 << 20;

#[tokio::test]
async fn who_sends_too_much_hears_that_it_is_too_much() {
    let served = served(ApiSettings::default()).await;
    let mut stream = served.connect().await;
    let head = format!("PUT / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    timeout(BOUND, stream.write_all(&vec![0; LARGE])).await.expect("in time").expect("sent");
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}

#[tokio::test]
async fn who_asks_before_it_sends_is_not_told_to() {
    let served = served(ApiSettings::default()).await;
    let mut stream = served.connect().await;
    let head = format!(
        "PUT / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}

/// Sends the head of a request and one of its two bytes, from an address of the loopback.
async fn slow_body(served: &Served, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("bound");
    let mut stream = timeout(BOUND, socket.connect(served.address)).await.expect("in time").expect("a connection");
    let head = "POST /read HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn slow_bodies_of_one_peer_do_not_make_the_others_wait() {
    // A quarter of the defaults, so that the test needs no more files than a process may open.
    let settings = ApiSettings { concurrent_requests: 64, requests_per_peer: 32, ..ApiSettings::default() };
    let served = served(settings.clone()).await;
    let mut slow = Vec::new();
    for _ in 0..80 {
        slow.push(slow_body(&served, "127.0.0.2").await);
    }
    for _ in 0..settings.requests_per_peer {
        served.is_reached().await;
    }
    assert!(get_once(&served, "/").await.ends_with("hello"));
    let mut body = slow_body(&served, "127.0.0.1").await;
    body.write_all(b"y").await.expect("sent");
    assert!(answer(&mut body).await.ends_with("2 bytes"));
    // The first of the peer's bodies are read to their end; the last are refused as soon as they are there.
    let last = slow.len() - 1;
    for (index, ending) in [
        (0, "2 bytes"),
        (last, "try again\",\"status\":503,\"title\":\"Service Unavailable\",\"type\":\"about:blank\"}"),
    ] {
        slow[index].write_all(b"y").await.expect("sent");
        let text = answer(&mut slow[index]).await;
        assert!(text.ends_with(ending), "{text}");
    }
}

#[tokio::test]
async fn a_request_whose_body_is_arriving_is_not_counted_as_served() {
    let served = served(ApiSettings { concurrent_requests: 1, ..ApiSettings::default() }).await;
    let mut slow = slow_body(&served, "127.0.0.1").await;
    served.is_reached().await;
    assert!(get_once(&served, "/").await.ends_with("hello"));
    slow.write_all(b"y").await.expect("sent");
    assert!(answer(&mut slow).await.ends_with("2 bytes"));
}

#[tokio::test]
async fn connections_of_one_peer_past_its_limit_are_closed() {
    let served = served(ApiSettings { connections_per_peer: 1, ..ApiSettings::default() }).await;
    let mut first = slow_body(&served, "127.0.0.2").await;
    served.is_reached().await;
    let mut second = slow_body(&served, "127.0.0.2").await;
    assert_eq!(answer(&mut second).await, "");
    assert!(get_once(&served, "/").await.ends_with("hello"));
    first.write_all(b"y").await.expect("sent");
    assert!(answer(&mut first).await.ends_with("2 bytes"));
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_browsers() {
    let served = served(ApiSettings::default()).await;
    for path in ["/", "/health", "/panic", "/nowhere", "/docs/"] {
        let answer = get_once(&served, path).await;
        let header =
            |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let policy = header("content-security-policy: ");
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{answer}");
        assert_eq!(policy.contains("script-src 'self'"), path == "/docs/", "{answer}");
        assert!(!policy.contains("script-src 'self' 'unsafe-inline'"), "{answer}");
        assert_eq!(header("x-frame-options: "), "DENY");
        assert_eq!(header("x-content-type-options: "), "nosniff");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_without_its_text() {
    let served = served(ApiSettings::default()).await;
    let answer = get_once(&served, "/panic").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("application/problem+json") && !answer.contains("secret"), "{answer}");
}

#[tokio::test]
async fn shutdown_lets_requests_in_hand_end_and_takes_no_more() {
    let served = served(ApiSettings::default()).await;
    let mut first = served.connect().await;
    ask(&mut first, "/slow").await;
    served.is_reached().await;
    let Served { address, stop, ended, release, .. } = served;
    stop.send(()).expect("it runs");
    // New connections are refused as soon as the listener is gone.
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, refused).await.expect("in time");
    assert!(!ended.is_finished());
    release.notify_waiters();
    assert!(answer(&mut first).await.ends_with("slow"));
    timeout(BOUND, ended).await.expect("in time").expect("no panic").expect("no error");
}

#[tokio::test]
async fn shutdown_cuts_off_what_takes_longer_than_the_grace() {
    let served = served(ApiSettings { shutdown_grace: Duration::from_millis(50), ..ApiSettings::default() }).await;
    let mut first = served.connect().await;
    ask(&mut first, "/slow").await;
    served.is_reached().await;
    let Served { stop, ended, .. } = served;
    stop.send(()).expect("it runs");
    timeout(BOUND, ended).await.expect("in time").expect("no panic").expect("no error");
    assert_eq!(answer(&mut first).await, "");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_loses_its_connection() {
    let settings = ApiSettings { connections: 1, write_timeout: Duration::from_millis(100), ..ApiSettings::default() };
    let served = served(settings).await;
    let mut idle = served.connect().await;
    ask(&mut idle, "/endless").await;
    // It waits for the only connection.
    let mut other = served.connect().await;
    ask(&mut other, "/").await;
    assert!(answer(&mut other).await.ends_with("hello"));
    drop(idle);
}
