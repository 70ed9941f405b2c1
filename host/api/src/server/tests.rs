//! The limits, with a trivial router over real connections.

use crate::body::whole;
use crate::server::*;
use axum::routing::{get, post};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time limit for every step of a test.
const BOUND: Duration = Duration::from_secs(20);

/// A body without end, which notifies when it is dropped.
fn endless(dropped: &Arc<Notify>) -> Body {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let dropped = Dropped(Arc::clone(dropped));
    Body::from_stream(futures_util::stream::repeat_with(move || {
        let _kept = &dropped;
        Ok::<_, io::Error>(vec![b' '; 64 << 10])
    }))
}

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
    /// One for each request that reached `/slow`.
    reached: Arc<Semaphore>,
    /// Lets the requests to `/slow` end.
    release: Arc<Notify>,
    /// Notified when an answer of `/endless` ends.
    given_up: Arc<Notify>,
}

async fn served(settings: ApiSettings) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    served_on(listener, address, settings)
}

fn served_on(listeners: impl Into<Listeners>, address: SocketAddr, settings: ApiSettings) -> Served {
    let listeners = listeners.into();
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
    let given_up = Arc::new(Notify::new());
    let endless_answer = {
        let given_up = given_up.clone();
        move || async move { endless(&given_up) }
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/read", post(read))
        .route("/health", get(|| async { "well" }))
        .route("/panic", get(|| async { panic!("secret") as () }))
        .route("/endless", get(endless_answer))
        .route("/slow", get(slow));
    let ended = tokio::spawn(async move {
        serve(listeners, router, &settings, async {
            let _ = stopped.await;
        })
        .await
    });
    Served { address, stop, ended, reached, release, given_up }
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

async fn ask(stream: &mut (impl AsyncWrite + Unpin), path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
}

/// Everything up to the end of the connection, within the bound.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
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
async fn without_room_for_a_connection_only_health_is_answered() {
    let served = served(ApiSettings { connections: 1, ..ApiSettings::default() }).await;
    let mut first = served.connect().await;
    ask(&mut first, "/slow").await;
    served.is_reached().await;
    let refused = get_once(&served, "/").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too many connections are open"), "{refused}");
    assert!(get_once(&served, "/health").await.ends_with("well"));
    served.release.notify_waiters();
    assert!(answer(&mut first).await.ends_with("slow"));
    assert!(get_once(&served, "/").await.ends_with("hello"));
}

#[tokio::test]
async fn the_oldest_idle_connection_makes_room_for_a_new_one() {
    let served = served(ApiSettings { connections: 2, header_timeout: 3 * BOUND, ..ApiSettings::default() }).await;
    let mut first = served.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.expect("sent");
    let mut second = served.connect().await;
    assert!(get_once(&served, "/").await.ends_with("hello"));
    assert_eq!(answer(&mut first).await, "");
    ask(&mut second, "/").await;
    assert!(answer(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn health_is_answered_among_many_half_requests_of_the_same_peer() {
    let limits =
        ApiSettings { connections: 32, connections_per_peer: 24, requests_per_peer: 16, ..ApiSettings::default() };
    let served = served(ApiSettings { header_timeout: 3 * BOUND, ..limits }).await;
    let mut half = Vec::new();
    for _ in 0..100 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.expect("sent");
        half.push(stream);
    }
    assert!(get_once(&served, "/health").await.ends_with("well"));
    // Their bodies do not end: some are being read, and the others are refused and drained.
    for _ in 0..100 {
        half.push(slow_body(&served, "127.0.0.1").await);
    }
    assert!(get_once(&served, "/health").await.ends_with("well"));
}

#[tokio::test]
async fn a_unix_socket_is_served_like_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let served = served_on(listener, SocketAddr::from(([0, 0, 0, 0], 0)), ApiSettings::default());
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    ask(&mut stream, "/").await;
    assert!(answer(&mut stream).await.ends_with("hello"));
    drop(served);
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
async fn connections_of_one_peer_past_its_limit_are_refused() {
    let served = served(ApiSettings { connections_per_peer: 1, ..ApiSettings::default() }).await;
    let mut first = slow_body(&served, "127.0.0.2").await;
    served.is_reached().await;
    let mut second = slow_body(&served, "127.0.0.2").await;
    let refused = answer(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
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
    let settings = ApiSettings { write_timeout: Duration::from_millis(100), ..ApiSettings::default() };
    let served = served(settings).await;
    let mut idle = served.connect().await;
    ask(&mut idle, "/endless").await;
    timeout(BOUND, served.given_up.notified()).await.expect("the connection ends, although the client keeps it");
    drop(idle);
}
