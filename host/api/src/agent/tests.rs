//! The agent's server on the loopback, with real TLS.

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use windlass_core::node_usage::{AGENT_NAME, AgentClient, ContainerUsage};
use windlass_core::{ContainerId, Timestamp};
use windlass_network::agent_secrets::AgentSecrets;
use windlass_network::{Agents, NetClient};

/// Time limit for every step of a test.
const BOUND: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    secrets: AgentSecrets,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

fn secrets() -> AgentSecrets {
    AgentSecrets::issue(Timestamp::from(SystemTime::now()), 1).expect("secrets")
}

fn usage() -> NodeUsage {
    let at = |text: &str| text.parse().expect("a time");
    let counters = |memory_limit_bytes| ContainerUsage {
        at: at("2026-01-01T00:00:00.123456789Z"),
        cpu_nanoseconds: 1_500_000_000,
        memory_bytes: 4_096,
        memory_limit_bytes,
    };
    let containers = [("a", None), ("b", Some(8_192))];
    let containers = containers.map(|(digit, limit)| (ContainerId(digit.repeat(64)), counters(limit)));
    NodeUsage { now: at("2026-01-01T00:00:02Z"), containers: BTreeMap::from(containers) }
}

async fn served() -> Served {
    let secrets = secrets();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tls = Tls::from_pem(&secrets.certificate, secrets.key.reveal()).expect("a certificate");
    let (stop, stopped) = oneshot::channel();
    let token = secrets.token.clone();
    let ended = tokio::spawn(async move {
        serve_agent(listener, tls, &token, usage, async {
            let _ = stopped.await;
        })
        .await
    });
    Served { address, secrets, stop, ended }
}

impl Served {
    fn client(&self, authority: &str, token: &str) -> Agents {
        let net = NetClient::new().expect("a client");
        net.agents(authority, Secret::new(token)).expect("a client of agents")
    }

    /// The whole answer to a request in text, over TLS.
    async fn send(&self, head: &str) -> String {
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.secrets.authority.as_bytes()).expect("a certificate");
        roots.add(authority).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from(AGENT_NAME).expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        let request = format!("{head}\r\nhost: {AGENT_NAME}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        timeout(BOUND, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        answer
    }
}

#[tokio::test]
async fn a_caller_with_the_token_gets_the_usage_and_others_only_the_health() {
    let served = served().await;
    let token = served.secrets.token.reveal().to_owned();
    let client = served.client(&served.secrets.authority, &token);
    assert_eq!(client.usage(served.address, BOUND).await, Ok(usage()));

    let other = served.client(&served.secrets.authority, "0123456789abcdef");
    let error = other.usage(served.address, BOUND).await.expect_err("a wrong token");
    assert_eq!(error.to_string(), "the agent has another token");
    for (head, status) in [
        ("GET /usage HTTP/1.1".to_owned(), 401),
        ("GET /usage HTTP/1.1\r\nauthorization: Bearer 0".to_owned(), 401),
        ("GET / HTTP/1.1".to_owned(), 401),
        ("POST /usage HTTP/1.1".to_owned(), 401),
        ("GET /health HTTP/1.1".to_owned(), 200),
        (format!("GET /usage HTTP/1.1\r\nauthorization: Bearer {token}"), 200),
        (format!("GET /images HTTP/1.1\r\nauthorization: Bearer {token}"), 404),
        (format!("DELETE /usage HTTP/1.1\r\nauthorization: Bearer {token}"), 405),
        // These are public in the API, and an agent does not have them.
        ("GET /docs/ HTTP/1.1".to_owned(), 401),
        ("GET /openapi.json HTTP/1.1".to_owned(), 401),
    ] {
        let answer = served.send(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert_eq!(answer.contains("cpu_nanoseconds"), head.contains("/usage") && status == 200, "{head}: {answer}");
    }
    let answer = served.send(&format!("GET /usage HTTP/1.1\r\nauthorization: Bearer {token}")).await;
    let body: serde_json::Value = serde_json::from_str(answer.rsplit("\r\n").next().unwrap_or_default()).expect("JSON");
    let with_limit = json!({"at": "2026-01-01T00:00:00.123456789Z", "cpu_nanoseconds": 1_500_000_000_u64,
        "memory_bytes": 4_096, "memory_limit_bytes": 8_192});
    assert_eq!(body["containers"]["b".repeat(64)], with_limit);
}

#[tokio::test]
async fn a_client_of_another_authority_and_one_without_tls_get_nothing() {
    let served = served().await;
    let token = served.secrets.token.reveal().to_owned();
    let error = served.client(&secrets().authority, &token).usage(served.address, BOUND).await.expect_err("refused");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    let mut plain = TcpStream::connect(served.address).await.expect("a connection");
    let request = format!("GET /usage HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    plain.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // The connection may be reset, because the rest of the request is not read.
    let _reset = timeout(BOUND, plain.read_to_end(&mut answer)).await.expect("in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(!answer.contains("HTTP/") && !answer.contains("cpu_nanoseconds"), "{answer}");
    let served_after = served.client(&served.secrets.authority, &token).usage(served.address, BOUND).await;
    assert_eq!(served_after, Ok(usage()), "the others are served");
}

#[tokio::test]
async fn callers_that_begin_no_handshake_do_not_keep_others_out() {
    let served = served().await;
    // More than the connections of one address, and none of them says anything.
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(served.address).await.expect("a connection"));
    }
    let client = served.client(&served.secrets.authority, served.secrets.token.reveal());
    assert_eq!(client.usage(served.address, BOUND).await, Ok(usage()));
    // A shutdown would wait for their handshakes.
    drop(idle);
    served.stop.send(()).expect("it runs");
    timeout(BOUND, served.ended).await.expect("in time").expect("no panic").expect("no error");
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused() {
    let [one, two] = [(); 2].map(|()| secrets());
    let refused = |certificate: &str, key: &str| Tls::from_pem(certificate, key).expect_err("refused");
    assert!(refused("", one.key.reveal()).contains("BEGIN CERTIFICATE"));
    assert!(refused(&one.certificate, &one.certificate).contains("BEGIN PRIVATE KEY"));
    let why = refused(&one.certificate, two.key.reveal());
    assert!(why.contains("do not fit") && !why.contains("PRIVATE"), "{why}");
    assert!(Tls::from_pem(&one.certificate, one.key.reveal()).is_ok());
}
