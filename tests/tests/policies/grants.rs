//! Outgoing HTTP requests of policies: only to granted hosts, within limits, and only during a decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_core::policy::{CatalogueError, PolicyCatalogue};
use windlass_core::settings::{HttpGrant, NamedPolicy, PolicyLimits, PolicySettings};
use windlass_core::{FailureKind, PolicyChoices, Timestamp};
use windlass_network::NetClient;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile::{self, Stub};
use windlass_tests::policies::{choice, compiler, decide, observation, push_of, unhurried};

/// The numbers of the error codes, counted from 100 as in the stub.
const DENIED: u32 = 115;
const BODY_SIZE: u32 = 128;
const TIMEOUT: u32 = 133;
const INTERNAL: u32 = 138;

/// A server that answers by path and counts requests.
struct Server {
    authority: String,
    asked: Arc<AtomicU32>,
}

impl Server {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let (asked, other) = (Arc::new(AtomicU32::new(0)), authority.clone());
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counter, other) = (Arc::clone(&counter), other.clone());
                tokio::spawn(async move { answer(stream, &counter, &other).await });
            }
        });
        Self { authority, asked }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, asked: &AtomicU32, authority: &str) {
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        request.extend_from_slice(&chunk[..read]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(&request).into_owned();
        request.clear();
        let hosted = text.to_lowercase().contains(&format!("host: {authority}"));
        let (status, body) = match text.split(' ').nth(1).unwrap_or_default() {
            "/count?of=7" if hosted => ("200 OK", b"7".to_vec()),
            "/long" => ("200 OK", vec![b'9'; 300]),
            "/huge" => ("200 OK", vec![b'9'; 5 << 20]),
            "/moved" => ("302 Found\r\nLocation: /count?of=7", b"3".to_vec()),
            "/never" => std::future::pending().await,
            _ => ("404 Not Found", b"4".to_vec()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

fn granted(authority: &str) -> HttpGrant {
    let hosts = vec![format!("http://{authority}").parse().expect("an origin")];
    HttpGrant { hosts, requests: 2, response_bytes: 256, time: Duration::from_secs(10), ..HttpGrant::default() }
}

fn engine(grant: HttpGrant) -> Arc<PolicyEngine> {
    let limits = PolicyLimits { http: Some(grant), ..unhurried() };
    let engine = PolicyEngine::without_pool(limits).expect("an engine");
    engine.send_with(NetClient::new().expect("a client"));
    Arc::new(engine)
}

/// The stub's proposal under this grant, and its log.
async fn asked(grant: HttpGrant, stub: &Stub) -> (Result<u32, FailureKind>, Vec<String>) {
    let loaded = PolicyComponent::load(&engine(grant), &Compiler::in_process(), None, stub.build().into()).await;
    let called = loaded.expect("it loads").decide("{}", &observation()).await;
    let lines = called.log.lines.into_iter().map(|(_, line)| line).collect();
    (called.answer.map(|decision| decision.replicas).map_err(|failure| failure.kind), lines)
}

#[tokio::test]
async fn a_host_that_was_granted_is_asked_and_answers() {
    let server = Server::listen().await;
    let stub = hostile::asks(&server.authority, "/count?of=7", 2);
    assert_eq!(asked(granted(&server.authority), &stub).await, (Ok(7), vec![]));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn nobody_else_is_asked_however_the_address_is_written() {
    let (server, other) = (Server::listen().await, Server::listen().await);
    let port = server.authority.rsplit(':').next().expect("a port");
    for authority in [&other.authority, &format!("localhost:{port}"), "127.0.0.1", &format!("{}@x", server.authority)] {
        let (answer, log) = asked(granted(&server.authority), &hostile::asks(authority, "/count?of=7", 1)).await;
        assert_eq!(answer, Ok(DENIED), "{authority}");
        let why = format!("it was granted http://{}", server.authority);
        assert!(log.len() == 1 && log[0].contains("it may not send to http://") && log[0].ends_with(&why), "{log:?}");
    }
    // A user name does not change the host; it is not sent.
    let named = hostile::asks(&format!("me@{}", server.authority), "/count?of=7", 1);
    assert_eq!(asked(granted(&server.authority), &named).await.0, Ok(7));
    assert_eq!((server.asked(), other.asked()), (1, 0));
}

#[tokio::test]
async fn a_grant_of_methods_and_paths_is_kept_however_the_path_is_written() {
    let server = Server::listen().await;
    let limited = |methods: &[&str], paths: &[&str]| {
        let mut grant = granted(&server.authority);
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        (grant.hosts[0].methods, grant.hosts[0].paths) = (texts(methods), texts(paths));
        grant
    };
    let admitted = limited(&["GET"], &["/count"]);
    assert_eq!(asked(admitted.clone(), &hostile::asks(&server.authority, "/count?of=7", 1)).await, (Ok(7), vec![]));
    for path in ["/counter", "/count/../long", "/count/%2e%2e/long", "/long"] {
        let (answer, log) = asked(admitted.clone(), &hostile::asks(&server.authority, path, 1)).await;
        assert_eq!(answer, Ok(DENIED), "{path}");
        let (origin, told) = (&admitted.hosts[0].host, &log[0]);
        let why = format!("it may not send GET {path} to {origin}; it was granted GET {origin} below /count");
        assert!(told.ends_with(&why), "{told}");
    }
    let posts = limited(&["POST"], &[]);
    assert_eq!(asked(posts, &hostile::asks(&server.authority, "/count?of=7", 1)).await.0, Ok(DENIED));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way_elsewhere() {
    let server = Server::listen().await;
    assert_eq!(asked(granted(&server.authority), &hostile::asks(&server.authority, "/moved", 1)).await.0, Ok(3));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn requests_and_bytes_past_the_grant_are_errors_the_policy_can_handle() {
    let server = Server::listen().await;
    let (answer, log) = asked(granted(&server.authority), &hostile::asks(&server.authority, "/count?of=7", 5)).await;
    assert_eq!((answer, server.asked()), (Ok(DENIED), 2));
    assert_eq!(log[0], "no request was sent: it was granted 2 requests in one call");
    let long = hostile::asks(&server.authority, "/long", 1);
    assert_eq!(asked(granted(&server.authority), &long).await.0, Ok(BODY_SIZE));
    let roomy = HttpGrant { response_bytes: 300, ..granted(&server.authority) };
    assert_eq!(asked(roomy, &long).await.0, Ok(9));
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_with_the_time_granted() {
    let server = Server::listen().await;
    let grant = HttpGrant { time: Duration::from_millis(50), ..granted(&server.authority) };
    let (answer, log) = asked(grant, &hostile::asks(&server.authority, "/never", 1)).await;
    assert_eq!(answer, Ok(TIMEOUT));
    assert_eq!(log[0], format!("{} did not answer within the 50 ms granted", server.authority));
}

#[tokio::test]
async fn a_host_that_is_not_there_is_an_error_with_its_cause_in_the_log() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").to_string();
    let (answer, log) = asked(granted(&unused), &hostile::asks(&unused, "/", 1)).await;
    assert_eq!(answer, Ok(INTERNAL));
    assert!(log[0].contains("the request to ") && log[0].contains("refused"), "{log:?}");
}

#[tokio::test]
async fn only_a_decision_may_ask() {
    let server = Server::listen().await;
    let stub = hostile::asks_in_configure(&server.authority, "/count?of=7");
    let engine = engine(granted(&server.authority));
    let loaded = PolicyComponent::load(&engine, &Compiler::in_process(), None, stub.build().into()).await;
    let called = loaded.expect("it loads").configure("{}", Timestamp(1)).await;
    assert!(called.answer.is_ok(), "it was denied: {called:?}");
    assert_eq!(called.log.lines[0].1, "no request was sent: a policy may send HTTP requests only while it decides");
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn who_was_not_granted_is_refused_and_who_was_is_marked() {
    let server = Server::listen().await;
    let limits = PolicyLimits { http: Some(granted(&server.authority)), ..unhurried() };
    let named = [("asker".to_owned(), NamedPolicy { source: None, limits })].into();
    let settings = PolicySettings { named, ..PolicySettings::default() };
    let opened = PolicyRegistry::open(settings, compiler(), Defaults::default(), None).await;
    let registry = opened.expect("it opens");
    registry.engine().send_with(NetClient::new().expect("a client"));
    let asks = hostile::asks(&server.authority, "/count?of=7", 1).build();
    let refused = registry.push(push_of("other", asks.clone())).await;
    let Err(CatalogueError::Component(problems)) = refused else { panic!("{refused:?}") };
    let names = ["wasi:http/types@0.2.0", "wasi:http/outgoing-handler@0.2.0"];
    for (problem, name) in problems.iter().zip(names) {
        assert!(
            problem.starts_with(&format!("it imports `{name}`, outgoing HTTP, which it was not granted")),
            "{problem}"
        );
        assert!(problem.contains("[policies.NAME.http]"), "{problem}");
    }
    assert_eq!(problems.len(), 2);

    let info = registry.push(push_of("asker", asks)).await.expect("it was granted");
    assert!(!info.replayable && info.http.is_some_and(|grant| grant.requests == 2));
    let choices = PolicyChoices { scaling: vec![choice("asker")], ..PolicyChoices::default() };
    let (identity, answer) = decide(&registry, &choices).await;
    assert_eq!((identity.replayable, answer), (false, Ok(7)));
    // In the form of the decision's record.
    assert_eq!(serde_json::to_value(&identity).expect("it is JSON")["replayable"], false);
    let plain = registry.push(push_of("plain", hostile::proposes(2).build())).await.expect("it asks for nothing");
    assert!(plain.replayable && plain.http.is_none());
}

#[tokio::test]
async fn the_data_of_requests_counts_as_memory_of_the_call() {
    let limits = PolicyLimits { http: Some(granted("127.0.0.1:1")), memory_bytes: 4 << 20, ..PolicyLimits::default() };
    let engine = Arc::new(PolicyEngine::without_pool(limits).expect("an engine"));
    for (what, stub) in hostile::hoards() {
        let loaded = PolicyComponent::load(&engine, &Compiler::in_process(), None, stub.build().into()).await;
        let called = loaded.expect("it loads").decide("{}", &observation()).await;
        let failure = called.answer.expect_err(what);
        assert_eq!(failure.kind, FailureKind::Memory, "{what}: {failure:?}");
        assert!(failure.reason.ends_with("at most 4194304 are given"), "{what}: {failure:?}");
    }
    // A response counts too.
    let server = Server::listen().await;
    let grant = HttpGrant { response_bytes: 8 << 20, ..granted(&server.authority) };
    let limits = PolicyLimits { http: Some(grant), memory_bytes: 4 << 20, ..PolicyLimits::default() };
    let engine = Arc::new(PolicyEngine::without_pool(limits).expect("an engine"));
    engine.send_with(NetClient::new().expect("a client"));
    let stub = hostile::asks(&server.authority, "/huge", 1).build();
    let loaded = PolicyComponent::load(&engine, &Compiler::in_process(), None, stub.into()).await;
    let called = loaded.expect("it loads").decide("{}", &observation()).await;
    assert_eq!(called.answer.map(|decision| decision.replicas).ok(), Some(INTERNAL));
    assert!(called.log.lines[0].1.contains("bytes of memory in all"), "{:?}", called.log);
}
