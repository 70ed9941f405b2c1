//! Fetching from registries that are missing, that speak no TLS, and that are hostile.

use super::*;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use windlass_network::NetClient;

/// The only login, for every registry.
struct Logins(Option<RegistryLogin>);

#[async_trait]
impl RegistryLogins for Logins {
    async fn of(&self, _: &str) -> Result<Option<RegistryLogin>, String> {
        Ok(self.0.clone())
    }
}

fn oci() -> Oci {
    oci_with(None, BTreeMap::new())
}

fn oci_with(login: Option<RegistryLogin>, hosts: BTreeMap<String, Vec<Origin>>) -> Oci {
    Oci::new(NetClient::new().expect("a client"), Arc::new(Logins(login)), hosts, 1 << 20)
}

/// The address of a server that answers everything with this text, and then closes the connection.
async fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            // The client may be gone already.
            let _read = connection.read(&mut request).await;
            let _written = connection.write_all(text.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn every_cause_is_told() {
    let why = oci().fetch("127.0.0.1:1/team/queue:1").await.expect_err("refused");
    assert!(why.contains("error sending request") && why.contains("Connection refused"), "{why}");
    let why = oci().fetch("registry.invalid/team/queue:1").await.expect_err("no such host");
    assert!(why.contains("error sending request") && why.contains("dns error"), "{why}");
}

#[tokio::test]
async fn plain_http_in_place_of_tls_is_called_that() {
    let address = answering("HTTP/1.0 400 Bad Request\r\n\r\n").await;
    let reference = format!("{address}/team/queue:1").parse().expect("a reference");
    let why = oci().fetch_over("https", &reference, None).await.expect_err("no TLS").explained();
    let remedy = "; the registry must speak TLS, because plain HTTP is possible only on the loopback";
    assert!(why.contains("received corrupt message") && why.ends_with(remedy), "{why}");
}

#[tokio::test]
async fn a_registry_on_the_loopback_may_speak_plain_http() {
    for text in ["HTTP/1.0 404 Not Found\r\n\r\nno such policy", ""] {
        let address = answering(text).await;
        let why = oci().fetch(&format!("{address}/team/queue:1")).await.expect_err("no policy");
        let (tls, plain) = why.split_once("; over plain HTTP: ").expect("both attempts");
        assert!(tls.starts_with("over TLS: "), "{tls}");
        assert!(plain.contains(if text.is_empty() { "connection closed" } else { "no such policy" }), "{plain}");
    }
}

#[test]
fn the_loopback_is_recognized_by_its_name() {
    for (registry, expected) in [
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("localhost", true),
        ("registry.example:5000", false),
        ("10.0.0.1:5000", false),
    ] {
        assert_eq!(is_loopback(registry), expected, "{registry}");
    }
}

/// An answer of a [`Server`].
enum Answer {
    /// A whole response.
    Whole(String),
    /// A response head. A body without end follows.
    Endless(String),
}

/// A server that speaks plain HTTP.
struct Server {
    address: String,
    heads: mpsc::UnboundedReceiver<String>,
    /// Bytes written of endless bodies.
    written: Arc<AtomicUsize>,
}

impl Server {
    /// Answers by the head of the request and the server's own address.
    async fn listen(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, heads) = mpsc::unbounded_channel();
        let written = Arc::new(AtomicUsize::new(0));
        let (own, count, answer) = (address.clone(), Arc::clone(&written), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (sender, own, count) = (sender.clone(), own.clone(), Arc::clone(&count));
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    serve(connection, &sender, &count, |head| answer(head, &own)).await;
                });
            }
        });
        Self { address, heads, written }
    }

    /// The heads of the requests until now.
    fn heads(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heads.try_recv().ok()).collect()
    }
}

async fn serve(
    mut connection: TcpStream,
    heads: &mpsc::UnboundedSender<String>,
    written: &AtomicUsize,
    answer: impl Fn(&str) -> Answer,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = connection.read_u8().await else { return };
        head.push(byte);
        // The beginning of a TLS handshake.
        if head == [22] {
            let _gone = connection.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = answer(&head);
    let _gone = heads.send(head);
    match answer {
        Answer::Whole(text) => {
            let _gone = connection.write_all(text.as_bytes()).await;
        }
        Answer::Endless(head) => {
            let _gone = connection.write_all(head.as_bytes()).await;
            while connection.write_all(&[b' '; 1 << 16]).await.is_ok() {
                written.fetch_add(1 << 16, Ordering::Relaxed);
            }
        }
    }
}

fn whole(status: &str, body: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

fn redirect(location: &str) -> Answer {
    whole(&format!("307 Temporary Redirect\r\nlocation: {location}"), "")
}

fn demand(realm: &str) -> Answer {
    whole(&format!("401 Unauthorized\r\nwww-authenticate: Bearer realm=\"{realm}\",service=\"here\""), "")
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn has_login(head: &str) -> bool {
    head.to_lowercase().contains("authorization: ")
}

fn login() -> Option<RegistryLogin> {
    Some(RegistryLogin::Basic("ada".to_owned(), "a-secret".to_owned()))
}

/// The manifest of a component.
fn manifest_of(component: &[u8]) -> String {
    let config = json!({"mediaType": "application/json", "size": 2, "digest": sha256(b"{}")});
    let layer = json!({"mediaType": manifest::LAYER, "size": component.len(), "digest": sha256(component)});
    json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string()
}

#[tokio::test]
async fn a_body_without_end_is_read_up_to_its_limit() {
    // Longer than a limit and everything that sockets hold on the way.
    let most = 32 << 20;
    let endless = |status: &str| Answer::Endless(format!("HTTP/1.1 {status}\r\n\r\n"));
    for (what, why) in [
        ("manifest", "its manifest has more than 1048576 bytes; no longer one is read"),
        ("error", "the registry responded with status 500 Internal Server Error"),
        ("token", " has more than 65536 bytes"),
        ("token error", " responded with status 403 Forbidden to the login"),
        ("component", "the registry sends more bytes than its manifest states"),
    ] {
        let server = Server::listen(move |head, own| match (path(head), what) {
            ("/v2/queue/manifests/1", "manifest") => endless("200 OK"),
            ("/v2/queue/manifests/1", "error") => endless("500 Internal Server Error"),
            ("/v2/queue/manifests/1", "component") => whole("200 OK", &manifest_of(b"component")),
            ("/v2/queue/manifests/1", _) => demand(&format!("http://{own}/token")),
            (_, "token error") => endless("403 Forbidden"),
            _ => endless("200 OK"),
        })
        .await;
        let found = oci().fetch(&format!("{}/queue:1", server.address)).await.expect_err("too long");
        assert!(found.contains(why), "{what}: {found}");
        assert!(found.len() < 2_048 && !found.contains("          "), "{what}: {found}");
        assert!(server.written.load(Ordering::Relaxed) < most, "{what}");
    }
}

#[tokio::test]
async fn an_error_of_the_registry_is_one_short_line() {
    let body = format!("{}\nthe second line", "a\u{7}".repeat(5_000));
    let server = Server::listen(move |_, _| whole("500 Internal Server Error", &body)).await;
    let found = oci().fetch(&format!("{}/queue:1", server.address)).await.expect_err("an error");
    assert!(found.contains("Error: a a a ") && found.len() < 500, "{found}");
    assert!(!found.contains(char::is_control) && !found.contains("second"), "{found}");
}

#[tokio::test]
async fn a_login_is_sent_only_to_the_hosts_that_the_configuration_names() {
    let mut other = Server::listen(|_, _| whole("200 OK", "{\"token\": \"t0ken\"}")).await;
    let realm = format!("http://{}/token?a=b", other.address);
    let mut registry = Server::listen(move |head, _| match head.to_lowercase().contains("bearer t0ken") {
        true => whole(
            "404 Not Found",
            "{\"errors\": [{\"code\": \"MANIFEST_UNKNOWN\", \"message\": \"no\\nsuch policy\"}]}",
        ),
        false => demand(&realm),
    })
    .await;
    let reference = format!("{}/team/queue:1", registry.address);
    for login in [login(), None] {
        let why = oci_with(login, BTreeMap::new()).fetch(&reference).await.expect_err("another host");
        assert!(why.contains(&format!("asks for a login at http://{}", other.address)), "{why}");
        assert!(why.contains(&format!("add it to `registries.\"{}\".hosts`", registry.address)), "{why}");
    }
    assert!(other.heads().is_empty() && !registry.heads().iter().any(|head| has_login(head)));

    let named = format!("http://{}", other.address).parse().expect("an origin");
    let oci = oci_with(login(), [(registry.address.clone(), vec![named])].into());
    let why = oci.fetch(&reference).await.expect_err("no policy");
    assert!(why.ends_with("the registry responded with status 404 Not Found: no such policy"), "{why}");
    let heads = other.heads();
    assert_eq!(
        heads.iter().map(|head| path(head)).collect::<Vec<_>>(),
        ["/token?a=b&scope=repository%3Ateam%2Fqueue%3Apull&service=here"]
    );
    assert!(heads[0].contains("Basic YWRhOmEtc2VjcmV0"), "{heads:?}");
    assert!(registry.heads().iter().any(|head| head.contains("Bearer t0ken")));
}

#[tokio::test]
async fn a_redirect_is_followed_to_allowed_hosts_and_takes_no_login_there() {
    let component = b"component";
    let mut storage = Server::listen(move |_, _| whole("200 OK", "component")).await;
    let blob = format!("http://{}/blob", storage.address);
    let mut registry = Server::listen(move |head, _| match path(head) {
        _ if !has_login(head) => whole("401 Unauthorized\r\nwww-authenticate: Basic realm=\"a\"", ""),
        "/v2/queue/manifests/1" => redirect("/v2/queue/manifests/2"),
        "/v2/queue/manifests/2" => whole("200 OK", &manifest_of(component)),
        _ => redirect(&blob),
    })
    .await;
    let reference = format!("{}/queue:1", registry.address);
    let why = oci_with(login(), BTreeMap::new()).fetch(&reference).await.expect_err("another host");
    assert!(why.contains(&format!("the redirect to http://{} is not followed", storage.address)), "{why}");
    assert!(storage.heads().is_empty());

    let named = format!("http://{}", storage.address).parse().expect("an origin");
    let oci = oci_with(login(), [(registry.address.clone(), vec![named])].into());
    assert_eq!(oci.fetch(&reference).await.expect("a component").component, component);
    let heads = storage.heads();
    assert!(heads.len() == 1 && !has_login(&heads[0]), "{heads:?}");
    assert!(registry.heads().iter().any(|head| head.contains("Basic YWRhOmEtc2VjcmV0")));
}

#[tokio::test]
async fn redirects_have_an_end() {
    let mut registry = Server::listen(|head, _| redirect(path(head))).await;
    let why = oci().fetch(&format!("{}/queue:1", registry.address)).await.expect_err("no end");
    assert!(why.ends_with("there are more than 5 redirects"), "{why}");
    assert_eq!(registry.heads().len(), 6);
}
