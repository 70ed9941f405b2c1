//! Fetches a policy from a registry whose answers are damaged.
//!
//! An input is a list of HTTP answers, separated by lines that begin with `###`. The first request receives the first one,
//! and so on; further requests receive the last one. `{address}` stands for the address of the registry.

use crate::fuzz::target::{Parser, Target};
use crate::fuzz::targets::runtime;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass_core::policy::{CatalogueError, PolicyCatalogue};
use windlass_core::settings::{NamedPolicy, PolicyLimits, PolicyOrigin, PolicySettings};
use windlass_core::{RegistryLogin, Timestamp};
use windlass_network::NetClient;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_policies::sources::oci::{Oci, RegistryLogins};
use windlass_tests::policies;

const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// The longest explanation of a failure in bytes: both attempts, over TLS and without.
const EXPLANATION_BYTES: usize = 4_096;

pub(crate) const TARGET: Target = Target {
    name: "registry",
    cases: 20,
    seeds: Vec::new,
    words: &[
        "\n###\n",
        "HTTP/1.1 401 Unauthorized\n",
        "HTTP/1.1 307 Temporary Redirect\n",
        "HTTP/1.1 429 Too Many Requests\n",
        "HTTP/1.1 200 OK\n",
        "location: http://{address}/v2/\n",
        "location: /v2/\n",
        "www-authenticate: Bearer realm=\"http://{address}/token\",service=\"a\",scope=\"b\"\n",
        "www-authenticate: Basic realm=a\n",
        "content-length: 99999999999\n",
        "transfer-encoding: chunked\n",
        "content-encoding: gzip\n",
        "\"mediaType\"",
        "\"layers\"",
        "\"manifests\"",
        "\"digest\"",
        "\"size\"",
        "\"config\"",
        "\"errors\"",
        "\"token\"",
        "\"access_token\"",
        "sha256:",
        "sha512:00",
        "application/vnd.oci.image.index.v1+json",
        "application/wasm",
        "docker-content-digest: sha256:00\n",
    ],
    start,
};

/// A login for every registry.
struct Login;

#[async_trait]
impl RegistryLogins for Login {
    async fn of(&self, _: &str) -> Result<Option<RegistryLogin>, String> {
        Ok(Some(RegistryLogin::Basic("ada".to_owned(), "a-secret".to_owned())))
    }
}

/// A registry of policies that fetches the policy `queue` from an address.
async fn fetching_from(address: &str) -> PolicyRegistry {
    let source = Some(PolicyOrigin::Oci(format!("{address}/team/queue:1")));
    let limits = PolicyLimits { component_bytes: 1 << 20, ..PolicyLimits::default() };
    let named = BTreeMap::from([("queue".to_owned(), NamedPolicy { source, limits: limits.clone() })]);
    let settings = PolicySettings { limits, named, folder: None };
    let net = NetClient::new().expect("TLS is set up");
    let registry = PolicyRegistry::open(settings, policies::compiler(), Defaults::default(), None);
    registry.await.expect("the built-in policies load").with_oci(Oci::new(
        net,
        Arc::new(Login),
        BTreeMap::new(),
        1 << 20,
    ))
}

fn start() -> Parser {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let registry = runtime.block_on(fetching_from(&address));
    Box::new(move |input| {
        let answers = answers(input, &address);
        runtime.block_on(async {
            let fetched = tokio::select! {
                fetched = registry.refresh("queue", NOW) => fetched,
                () = serve(&listener, &answers) => unreachable!("the server does not end"),
            };
            match fetched {
                Ok(_) => true,
                Err(CatalogueError::Source(why)) => {
                    let is_plain = why.len() <= EXPLANATION_BYTES && !why.contains(char::is_control);
                    assert!(is_plain && !why.contains("a-secret"), "{why:?}");
                    false
                }
                // The bytes were fetched, and are no component.
                Err(CatalogueError::Component(problems)) => !problems.is_empty(),
                Err(other) => panic!("another error: {other:?}"),
            }
        })
    })
}

/// The answers of an input.
fn answers(input: &[u8], address: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(input).replace("{address}", address);
    text.split("\n###").map(|answer| answer.trim_start_matches(['#', '\n']).as_bytes().to_vec()).collect()
}

/// Answers each request on a connection of its own, and rejects TLS.
async fn serve(listener: &TcpListener, answers: &[Vec<u8>]) {
    let mut answered = 0;
    loop {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let answer = answers.get(answered).or(answers.last()).map(Vec::as_slice).unwrap_or_default();
        answered += usize::from(respond(&mut connection, answer).await);
    }
}

/// Sends an answer to a request. Returns whether there was one.
async fn respond(connection: &mut TcpStream, answer: &[u8]) -> bool {
    let mut request = [0; 8_192];
    let read = connection.read(&mut request).await.unwrap_or(0);
    if read == 0 || request[0] == HANDSHAKE {
        return false;
    }
    // The client may stop reading an answer that it rejects.
    let _closed = connection.write_all(answer).await;
    let _closed = connection.shutdown().await;
    true
}
