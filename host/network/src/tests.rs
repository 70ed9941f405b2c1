//! Tests of outgoing requests: redirects, the bounds of responses, and addresses that no request reaches.

use super::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_core::net::RedirectRule;
use windlass_core::{Credentials, Expected, Origin, SourceUrl};

const LIMIT: Duration = Duration::from_secs(30);

/// Time limit for responses that never end.
const SHORT: Duration = Duration::from_millis(300);

/// A server that answers every request in one way.
struct Server {
    address: SocketAddr,
    /// Number of requests.
    requests: Arc<AtomicUsize>,
    /// Bytes written without end.
    written: Arc<AtomicUsize>,
}

impl Server {
    /// Answers with `head`, and then repeats `rest` until the client has gone.
    async fn listen(head: String, rest: &'static str) -> Self {
        Self::listen_slowly(head, rest, Duration::ZERO).await
    }

    /// [`Server::listen`] with a pause after each `rest`.
    async fn listen_slowly(head: String, rest: &'static str, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (requests, written) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (asked, sent) = (Arc::clone(&requests), Arc::clone(&written));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (head, asked, sent) = (head.clone(), Arc::clone(&asked), Arc::clone(&sent));
                tokio::spawn(async move { answer(stream, &head, (rest, pause), &asked, &sent).await });
            }
        });
        Self { address, requests, written }
    }

    async fn plain() -> Self {
        Self::listen("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7".to_owned(), "").await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn answer(
    mut stream: TcpStream,
    head: &str,
    (rest, pause): (&str, Duration),
    requests: &AtomicUsize,
    written: &AtomicUsize,
) {
    let (mut request, mut read) = (vec![0; 8_192], 0);
    while !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await {
            Ok(more @ 1..) => read += more,
            _ => return,
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let _gone = stream.write_all(head.as_bytes()).await;
    while !rest.is_empty() && stream.write_all(rest.as_bytes()).await.is_ok() {
        written.fetch_add(rest.len(), Ordering::SeqCst);
        // A pause of zero would last until the next tick of the timer.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Every way to send something to a URL.
async fn every_way(net: &NetClient, url: &str) -> Vec<Result<(), String>> {
    let none = Credentials::default();
    let source = SourceUrl::new(url);
    let query = SourceRequest { url: &source, endpoint: "", query: &[], credentials: &none };
    let granted = http::Request::get(url).body(Bytes::new()).expect("a request");
    vec![
        net.post_json(url, Reach::Configured, &json!({}), LIMIT).await.map_err(|error| error.to_string()),
        net.post_json(url, Reach::Replica, &json!({}), LIMIT).await.map_err(|error| error.to_string()),
        net.query_source(&query, 1 << 20, LIMIT).await.map(drop).map_err(|error| error.to_string()),
        net.send(granted, allowance(None)).await.map(drop).map_err(|error| error.to_string()),
    ]
}

/// Every way to call a replica at an address.
async fn every_probe(net: &NetClient, address: SocketAddr) -> Vec<Result<(), String>> {
    vec![
        net.http_probe(address, &HttpProbe::get(0, "/"), LIMIT).await.map(drop).map_err(|error| error.to_string()),
        net.tcp_connect(address, false, LIMIT).await.map(drop).map_err(|error| error.to_string()),
    ]
}

fn allowance(redirects: Option<&dyn RedirectRule>) -> Allowance<'_> {
    Allowance { reach: Reach::Configured, body_bytes: 1 << 20, error_bytes: None, redirects }
}

fn with(listeners: Vec<SocketAddr>, private_addresses: bool) -> Arc<NetClient> {
    let settings = NetworkSettings { private_addresses, ..NetworkSettings::default() };
    NetClient::with(NetOptions { settings, listeners, ..NetOptions::default() }).expect("a client")
}

#[tokio::test]
async fn nothing_is_sent_to_windlass_itself_however_its_address_is_written() {
    let server = Server::plain().await;
    let port = server.address.port();
    let net = with(vec![server.address], true);
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "me@127.0.0.1"] {
        for sent in every_way(&net, &format!("http://{host}:{port}/start")).await {
            let why = sent.expect_err("an own listener");
            assert!(
                why.contains("nothing is sent to ") && why.contains("Windlass itself listens there"),
                "{host}: {why}"
            );
        }
    }
    for sent in every_way(&net, &format!("http://0.0.0.0:{port}/start")).await {
        assert!(sent.expect_err("no host").contains("it is no address of a single host"));
    }
    for sent in every_probe(&net, server.address).await {
        assert_eq!(sent, Err("nothing is sent to 127.0.0.1: Windlass itself listens there".to_owned()));
    }
    assert_eq!(server.requests(), 0);
    // Another server of this machine is no own listener.
    let other = Server::plain().await;
    for sent in every_way(&net, &format!("http://localhost:{}/", other.address.port())).await {
        assert_eq!(sent, Ok(()));
    }
    for sent in every_probe(&net, other.address).await {
        assert_eq!(sent, Ok(()));
    }
}

#[tokio::test]
async fn private_addresses_are_refused_after_a_name_was_resolved_but_replicas_are_reached() {
    let server = Server::plain().await;
    let net = with(Vec::new(), false);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/", server.address.port());
        let sent = every_way(&net, &url).await;
        assert_eq!(sent[1], Ok(()), "a stop hook");
        for sent in [&sent[0], &sent[2], &sent[3]] {
            let why = sent.as_ref().expect_err("a private address");
            assert!(why.contains("it is private; allow its network in `network.allowed_networks`"), "{why}");
        }
    }
    for sent in every_probe(&net, server.address).await {
        assert_eq!(sent, Ok(()));
    }
    for sent in every_way(&net, "http://169.254.169.254/latest/meta-data/").await {
        assert!(sent.expect_err("refused").contains("it is link-local"));
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let target = Server::plain().await;
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location =
            format!("HTTP/1.1 {status}\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", target.address);
        let server = Server::listen(location, "").await;
        let net = NetClient::new().expect("a client");
        let url = format!("http://{}/", server.address);
        let sent = every_way(&net, &url).await;
        for posted in &sent[..2] {
            let why = format!("the server responded with status {status}, a redirect, which is not followed");
            assert_eq!(posted, &Err(why));
        }
        // These callers see the redirect.
        assert_eq!(sent[2..], [Ok(()), Ok(())]);
        let probed = net.http_probe(server.address, &HttpProbe::get(0, "/"), LIMIT).await;
        assert!(probed.is_ok(), "a probe accepts any status below 400: {probed:?}");
    }
    assert_eq!(target.requests(), 0);
}

/// Allows redirects to one host.
struct Only(Origin);

impl RedirectRule for Only {
    fn follow(&self, target: &Origin) -> Result<Reach, String> {
        if *target == self.0 { Ok(Reach::Configured) } else { Err("it is another host".to_owned()) }
    }
}

#[tokio::test]
async fn each_redirect_is_checked_by_the_rule_and_by_its_address() {
    let own = Server::plain().await;
    let to = |address: SocketAddr| {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n");
        Server::listen(head, "")
    };
    let back = to(own.address).await;
    let first = to(back.address).await;
    let origin = |server: &Server| format!("http://{}", server.address).parse::<Origin>().expect("an origin");
    let net = with(vec![own.address], true);
    let send = async |rule: &dyn RedirectRule, from: &Server| {
        let request = http::Request::get(format!("http://{}/", from.address)).body(Bytes::new()).expect("a request");
        net.send(request, allowance(Some(rule)))
            .await
            .map(|response| response.status())
            .expect_err("refused")
            .to_string()
    };
    let refused = send(&Only(origin(&back)), &first).await;
    assert_eq!(refused, format!("the redirect to http://{} is not followed: it is another host", own.address));
    assert_eq!((first.requests(), back.requests()), (1, 1));
    let refused = send(&Only(origin(&own)), &back).await;
    assert_eq!(refused, "nothing is sent to 127.0.0.1: Windlass itself listens there");
    assert_eq!(own.requests(), 0);
}

#[tokio::test]
async fn a_response_without_end_is_read_up_to_its_limit() {
    // Longer than each limit, and than everything that the sockets hold on the way.
    let most = 32 << 20;
    let lines = "a-header-without-end: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\r\n";
    let long = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (head, rest, is_head) in [
        ("HTTP/1.1 200 OK\r\n", lines, true),
        ("HTTP/1.1 200 OK\r\na: ", long, true),
        ("HTTP/1.1 200 OK\r\n\r\n", long, false),
    ] {
        let server = Server::listen(head.to_owned(), rest).await;
        let net = NetClient::new().expect("a client");
        let sent = every_way(&net, &format!("http://{}/", server.address)).await;
        // A notification reads no body.
        assert_eq!(sent[0].is_err(), is_head, "{sent:?}");
        assert!(sent[2].is_err() && sent[3].is_err(), "{sent:?}");
        let expect = Expected { body: Some("none".to_owned()), ..Expected::default() };
        let probe = HttpProbe { expect, ..HttpProbe::get(0, "/") };
        assert!(net.http_probe(server.address, &probe, LIMIT).await.is_err());
        assert!(server.written.load(Ordering::SeqCst) < most, "{head}");
    }
}

#[tokio::test]
async fn a_response_that_arrives_byte_by_byte_ends_with_its_time() {
    let timed_out = |sent: Result<(), NetError>| match sent {
        Err(NetError::TimedOut(limit)) => assert_eq!(limit, SHORT),
        other => panic!("{other:?}"),
    };
    let none = Credentials::default();
    let pause = Duration::from_millis(10);
    // The second one has a whole head.
    for (head, rest, is_whole) in
        [("HTTP/1.1 200 OK\r\na: ", "b", false), ("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "b", true)]
    {
        let server = Server::listen_slowly(head.to_owned(), rest, pause).await;
        let net = NetClient::new().expect("a client");
        let url = format!("http://{}/", server.address);
        let source = SourceUrl::new(&url);
        let query = SourceRequest { url: &source, endpoint: "", query: &[], credentials: &none };
        let expect = Expected { body: Some("none".to_owned()), ..Expected::default() };
        let probe = HttpProbe { expect, ..HttpProbe::get(0, "/") };
        let every_way = async {
            timed_out(net.query_source(&query, 1 << 20, SHORT).await.map(drop));
            timed_out(net.http_probe(server.address, &probe, SHORT).await.map(drop));
            for reach in [Reach::Configured, Reach::Replica] {
                let posted = net.post_json(&url, reach, &json!({}), SHORT).await;
                // A notification reads no body.
                if is_whole { assert_eq!(posted, Ok(())) } else { timed_out(posted) }
            }
        };
        tokio::time::timeout(LIMIT, every_way).await.expect("the time of each request is limited");
        assert_eq!(server.requests(), 4);
        // The server still writes when a limit ends a request.
        assert!(server.written.load(Ordering::SeqCst) > 4, "nothing arrived");
    }
}

#[tokio::test]
async fn headers_are_limited_in_bytes() {
    let headers = |bytes: usize| format!("HTTP/1.1 200 OK\r\na: {}\r\ncontent-length: 0\r\n\r\n", "b".repeat(bytes));
    for (bytes, is_accepted) in [(60_000, true), (70_000, false)] {
        let server = Server::listen(headers(bytes), "").await;
        let net = NetClient::new().expect("a client");
        for sent in every_way(&net, &format!("http://{}/", server.address)).await {
            let why = "the response has more than 65536 bytes of headers".to_owned();
            assert_eq!(sent, if is_accepted { Ok(()) } else { Err(why) });
        }
    }
}

#[tokio::test]
async fn a_path_cannot_name_another_host() {
    let server = Server::plain().await;
    let net = NetClient::new().expect("a client");
    let probe = HttpProbe { headers: BTreeMap::new(), ..HttpProbe::get(0, "@evil.example/") };
    let why = net.http_probe(server.address, &probe, LIMIT).await.expect_err("no path").to_string();
    assert_eq!(why, "`@evil.example/` is not a path; it must start with `/`");
}
