//! HTTPS on the address of the API: certificates that change, and requests without TLS.

use crate::listeners::Listeners;
use crate::server::serve;
use crate::tls::Tls;
use axum::Router;
use axum::routing::get;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use windlass_core::Timestamp;
use windlass_core::settings::ApiSettings;
use windlass_network::certificates::Certificates;

/// Time limit for every step of a test.
const BOUND: Duration = Duration::from_secs(20);

fn certificates() -> Certificates {
    Certificates::issue("a lab", &["localhost".to_owned()], Timestamp::from(SystemTime::now()), 1).expect("made")
}

fn tls(certificates: &Certificates) -> Tls {
    let tls = Tls::from_pem(&certificates.certificate, certificates.key.reveal()).expect("a certificate");
    tls.answering_plain_requests()
}

/// Connects as a client that trusts this authority.
async fn connect(address: SocketAddr, authority: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

async fn hello(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = vec![0; 1_024];
    let length = timeout(BOUND, stream.read(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_changed_certificate_is_used_for_new_connections_and_plain_requests_are_refused() {
    let (first, second) = (certificates(), certificates());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = tls(&first);
    let listeners = Listeners { tls: Some(served.clone()), ..listener.into() };
    let router = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(async move { serve(listeners, router, &ApiSettings::default(), std::future::pending()).await });

    let mut before = connect(address, &first.authority).await.expect("trusted");
    assert!(hello(&mut before).await.ends_with("hello"));
    connect(address, &second.authority).await.expect_err("another authority");
    served.replace(&tls(&second));
    let mut after = connect(address, &second.authority).await.expect("trusted");
    assert!(hello(&mut after).await.ends_with("hello"));
    connect(address, &first.authority).await.expect_err("the old certificate");
    assert!(hello(&mut before).await.ends_with("hello"), "an open connection stays");

    for request in ["GET /workloads HTTP/1.1\r\nhost: a\r\nauthorization: Bearer secret\r\n\r\n", "GET "] {
        let mut plain = TcpStream::connect(address).await.expect("a connection");
        plain.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        plain.shutdown().await.expect("no more");
        timeout(BOUND, plain.read_to_string(&mut answer)).await.expect("in time").expect("no reset");
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("HTTPS only"), "{answer}");
    }
    // A connection that sends nothing ends without a word.
    let mut silent = TcpStream::connect(address).await.expect("a connection");
    silent.shutdown().await.expect("no more");
    let mut answer = String::new();
    timeout(BOUND, silent.read_to_string(&mut answer)).await.expect("in time").expect("closed");
    assert_eq!(answer, "");
}
