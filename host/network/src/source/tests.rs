//! Requests to sources: addresses, credentials, own certificate authorities, compression, redirects and clocks.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use windlass_core::SourceUrl;
use windlass_core::net::Net;

use crate::{NetClient, NetOptions};

/// An authority for `localhost`, made for this test.
const AUTHORITY: &[u8] = include_bytes!("test-authority.pem");
/// A certificate of that authority, and its key.
const SERVER: &[u8] = include_bytes!("test-server.pem");

const LIMIT: Duration = Duration::from_secs(30);
const LONGEST: u64 = 1 << 20;

/// Answers every request, and returns the address and the heads of the requests.
async fn server(head: &'static str, body: Vec<u8>, tls: bool) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, heads) = mpsc::unbounded_channel();
    let acceptor = tls.then(|| {
        crate::set_up_tls();
        let certificates = CertificateDer::pem_slice_iter(SERVER).collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(SERVER).expect("a key");
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
        tokio_rustls::TlsAcceptor::from(Arc::new(config.expect("a configuration")))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &acceptor {
                None => answer(stream, head, &body, &sender).await,
                Some(acceptor) => {
                    // A client that does not trust the certificate ends the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, head, &body, &sender).await;
                    }
                }
            }
        }
    });
    (port, heads)
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &str,
    body: &[u8],
    heads: &mpsc::UnboundedSender<String>,
) {
    let (mut request, mut read) = (vec![0; 8_192], 0);
    while !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await {
            Ok(more @ 1..) => read += more,
            _ => return,
        }
    }
    let _ = heads.send(String::from_utf8_lossy(&request[..read]).into_owned());
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _gone = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _gone = stream.shutdown().await;
}

struct Asked {
    url: String,
    endpoint: &'static str,
    credentials: Credentials,
}

impl Asked {
    fn of(url: String) -> Self {
        Self { url, endpoint: "", credentials: Credentials::default() }
    }

    async fn send(&self, access: Vec<SourceAccess>) -> Result<SourceResponse, NetError> {
        let url = SourceUrl::new(&self.url);
        let query: &[(&str, &str)] = if self.endpoint.is_empty() { &[] } else { &[("query", "sum(a) > 1")] };
        let request = SourceRequest { url: &url, endpoint: self.endpoint, query, credentials: &self.credentials };
        NetClient::with(NetOptions { sources: access, ..NetOptions::default() })?
            .query_source(&request, LONGEST, LIMIT)
            .await
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn secrets(headers: &[(&str, &str)]) -> BTreeMap<String, Secret> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
}

#[tokio::test]
async fn the_query_of_an_address_is_kept_whole_and_its_path_is_a_prefix() {
    let (port, mut heads) = server("200 OK", b"7".to_vec(), false).await;
    for (path, endpoint, requested) in [
        ("/status?a=1&b=x%20y&c=%2F&d", "", "/status?a=1&b=x%20y&c=%2F&d"),
        ("", "", "/"),
        ("", "/api/v1/query", "/api/v1/query?query=sum%28a%29+%3E+1"),
        ("/prom/?tenant=a%26b#top", "/api/v1/query", "/prom/api/v1/query?tenant=a%26b&query=sum%28a%29+%3E+1"),
        ("/prom/api/v1/query", "/api/v1/query", "/prom/api/v1/query?query=sum%28a%29+%3E+1"),
    ] {
        let asked = Asked { endpoint, ..Asked::of(format!("http://127.0.0.1:{port}{path}")) };
        assert_eq!(asked.send(Vec::new()).await.expect("an answer").body.as_ref(), b"7");
        let head = heads.recv().await.expect("a request");
        assert_eq!(head.split(' ').nth(1), Some(requested), "{path}");
    }
}

#[tokio::test]
async fn a_request_is_authenticated_by_its_metric_then_by_its_address_then_by_the_configuration() {
    let (port, mut heads) = server("200 OK", b"7".to_vec(), false).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        Some(file)
    };
    let hosts = vec![format!("http://127.0.0.1:{port}").parse().expect("an origin")];
    let token =
        SourceAccess { hosts: hosts.clone(), bearer_token_file: file("token", "t0ken\n"), ..SourceAccess::default() };
    let user = SourceAccess {
        hosts: hosts.clone(),
        headers: secrets(&[("x-scope-orgid", "team")]),
        username: Some("ops".to_owned()),
        password_file: file("password", "pw\n"),
        ..SourceAccess::default()
    };
    let by_header = SourceAccess {
        hosts: hosts.clone(),
        headers: secrets(&[("authorization", "Configured x")]),
        ..SourceAccess::default()
    };
    let elsewhere = SourceAccess { hosts: vec!["http://127.0.0.1:1".parse().expect("an origin")], ..token.clone() };
    let plain = format!("http://127.0.0.1:{port}/");
    let with_user = format!("http://a:b%20c@127.0.0.1:{port}/");
    let basic = BasicAuth { username: "me".to_owned(), password: Secret::new("mine") };
    let own = |headers: &[(&str, &str)], basic_auth: Option<&BasicAuth>| Credentials {
        headers: secrets(headers),
        basic_auth: basic_auth.cloned(),
    };
    for (url, credentials, access, authorization) in [
        (&plain, own(&[], None), vec![], None),
        (&plain, own(&[], None), vec![elsewhere.clone()], None),
        (&plain, own(&[], None), vec![elsewhere, token.clone()], Some("Bearer t0ken")),
        (&plain, own(&[], None), vec![user.clone()], Some("Basic b3BzOnB3")),
        (&with_user, own(&[], None), vec![token.clone()], Some("Basic YTpiIGM=")),
        (&with_user, own(&[], Some(&basic)), vec![token.clone()], Some("Basic bWU6bWluZQ==")),
        (&plain, own(&[], None), vec![by_header.clone()], Some("Configured x")),
        (&plain, own(&[], Some(&basic)), vec![by_header.clone()], Some("Basic bWU6bWluZQ==")),
        (&with_user, own(&[], None), vec![by_header.clone()], Some("Basic YTpiIGM=")),
        (&plain, own(&[("authorization", "Custom x")], None), vec![user.clone()], Some("Custom x")),
        (&with_user, own(&[("authorization", "Custom x")], None), vec![], Some("Custom x")),
    ] {
        let is_user = access.contains(&user);
        let asked = Asked { credentials, ..Asked::of(url.clone()) };
        asked.send(access).await.expect("an answer");
        let head = heads.recv().await.expect("a request");
        assert_eq!(header(&head, "authorization").as_deref(), authorization, "{head}");
        assert_eq!(header(&head, "x-scope-orgid").as_deref(), is_user.then_some("team"), "{head}");
        assert!(!head.contains('@') && header(&head, "accept-encoding").as_deref() == Some("gzip"), "{head}");
    }
    // The file is read for each request: a token that is replaced applies at once, and one that is missing is named.
    file("token", "another");
    Asked::of(plain.clone()).send(vec![token.clone()]).await.expect("an answer");
    let head = heads.recv().await.expect("a request");
    assert_eq!(header(&head, "authorization").as_deref(), Some("Bearer another"));
    let gone = SourceAccess { bearer_token_file: Some(folder.path().join("gone")), ..token };
    let error = Asked::of(plain.clone()).send(vec![gone]).await.expect_err("no token").to_string();
    assert!(error.starts_with("cannot read `") && error.contains("gone"), "{error}");
    let unsendable = Asked { credentials: own(&[("x-key", "s3cret\nx")], None), ..Asked::of(plain) };
    assert_eq!(unsendable.send(vec![]).await.expect_err("no header").to_string(), "the header `x-key` cannot be sent");
}

#[tokio::test]
async fn a_source_with_its_own_certificate_authority_is_trusted_if_that_is_configured() {
    let (port, _heads) = server("200 OK", b"7".to_vec(), true).await;
    let url = format!("https://localhost:{port}/");
    let refused = Asked::of(url.clone()).send(Vec::new()).await.expect_err("an unknown authority").to_string();
    assert!(refused.contains("certificate") || refused.contains("UnknownIssuer"), "{refused}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, AUTHORITY).expect("a file");
    let access = SourceAccess {
        hosts: vec![format!("https://localhost:{port}").parse().expect("an origin")],
        ca_file: Some(file.clone()),
        ..SourceAccess::default()
    };
    let answer = Asked::of(url.clone()).send(vec![access.clone()]).await.expect("an answer");
    assert_eq!(answer.body.as_ref(), b"7");
    std::fs::write(&file, "no certificate").expect("a file");
    let error = Asked::of(url).send(vec![access]).await.expect_err("no certificate").to_string();
    assert!(error.contains("ca.pem`: it holds no certificate"), "{error}");
}

#[tokio::test]
async fn gzip_is_understood_within_the_limit_and_other_compression_is_named() {
    let asked = |port| Asked::of(format!("http://127.0.0.1:{port}/"));
    for head in ["200 OK\r\ncontent-encoding: gzip", "200 OK", "200 OK\r\ncontent-encoding: identity"] {
        let (port, _heads) = server(head, gzip(b"{\"depth\": 7}"), false).await;
        let answer = asked(port).send(vec![]).await.expect("an answer");
        assert_eq!(answer.body.as_ref(), b"{\"depth\": 7}", "{head}");
    }
    let (port, _heads) = server("200 OK\r\ncontent-encoding: gzip", gzip(&vec![b' '; 2 << 20]), false).await;
    let error = asked(port).send(vec![]).await.expect_err("too long").to_string();
    assert_eq!(error, "the response body has more than 1048576 bytes");
    let (port, _heads) = server("200 OK\r\ncontent-encoding: br", b"x".to_vec(), false).await;
    let error = asked(port).send(vec![]).await.expect_err("unknown").to_string();
    assert_eq!(error, "the response is compressed with `br`; expected gzip or none");
    let broken = gzip(b"7")[..12].to_vec();
    let (port, _heads) = server("200 OK\r\ncontent-encoding: gzip", broken, false).await;
    let error = asked(port).send(vec![]).await.expect_err("broken").to_string();
    assert!(error.starts_with("the response cannot be decompressed: "), "{error}");
}

#[tokio::test]
async fn a_response_has_its_status_its_redirect_and_the_time_of_its_server() {
    let head = "302 Found\r\nlocation: https://login.example/?next=a\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nage: 60";
    let (port, mut heads) = server(head, b"moved".to_vec(), false).await;
    let answer = Asked::of(format!("http://127.0.0.1:{port}/")).send(vec![]).await.expect("an answer");
    assert_eq!(answer.status, http::StatusCode::FOUND);
    assert_eq!(answer.location.as_deref(), Some("https://login.example/?next=a"));
    assert_eq!(answer.date, Some(Timestamp(1_767_225_660_000)));
    assert_eq!(answer.body.as_ref(), b"moved");
    heads.recv().await.expect("a request");
    assert!(heads.try_recv().is_err(), "no redirect is followed");
}
