//! OCI registries as a source of policies. The artifacts have the CNCF's layout for WebAssembly: a manifest with one layer of
//! type `application/wasm`. An index may lead to that manifest.

mod failure;

use crate::digest::sha256;
use crate::sources::oci::failure::Failure;
use async_trait::async_trait;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciImageIndex, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::Value;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use windlass_core::RegistryLogin;

/// Media type of the component's layer in the CNCF's layout.
const LAYER: &str = "application/wasm";

/// Time limit of a fetch, and of a connection with its TLS handshake.
const LIMIT: Duration = Duration::from_secs(120);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Media type of an artifact's manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Accepted media types. Docker's are read for their problem: they lead to container images.
const ACCEPTED: [&str; 4] = [
    MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Size of the largest accepted manifest in bytes.
const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// The most manifests of an index that are read.
const MAX_MANIFESTS: usize = 32;

/// Finds logins for registries.
#[async_trait]
pub trait RegistryLogins: Send + Sync + 'static {
    /// The login for the registry at `host` or `host:port`. `None` if there is none.
    ///
    /// # Errors
    /// The reason why it cannot be read, without secrets.
    async fn of(&self, registry: &str) -> Result<Option<RegistryLogin>, String>;
}

/// A component and the digest of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The component.
    pub(crate) component: Vec<u8>,
    /// `sha256:` and the digest of the manifest that the reference led to.
    pub(crate) manifest: String,
}

/// Fetches components from OCI registries.
pub struct Oci {
    logins: Arc<dyn RegistryLogins>,
    /// Size of the largest accepted component in bytes.
    max_bytes: u64,
}

impl Oci {
    /// Fetches with these logins components of at most `max_bytes`.
    pub fn new(logins: Arc<dyn RegistryLogins>, max_bytes: u64) -> Self {
        Self { logins, max_bytes }
    }

    /// Fetches the component that `host/repository:tag` or `host/repository@sha256:…` refers to now. A registry is
    /// contacted over TLS. One on this machine (`localhost`, `127.0.0.1`) may speak plain HTTP instead, as with Docker.
    ///
    /// # Errors
    /// The reason with its causes, in a sentence.
    pub(crate) async fn fetch(&self, reference: &str) -> Result<Fetched, String> {
        match tokio::time::timeout(LIMIT, self.fetch_now(reference)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("fetching it took longer than {} s", LIMIT.as_secs())),
        }
    }

    async fn fetch_now(&self, text: &str) -> Result<Fetched, String> {
        let reference: Reference =
            text.parse().map_err(|error| format!("`{}` is not a valid reference: {error}", text.escape_debug()))?;
        let registry = reference.resolve_registry();
        let auth = match self.logins.of(registry).await? {
            None => RegistryAuth::Anonymous,
            Some(RegistryLogin::Basic(name, password)) => RegistryAuth::Basic(name, password),
            Some(RegistryLogin::Bearer(token)) => RegistryAuth::Bearer(token),
        };
        match self.fetch_over(ClientProtocol::Https, &reference, &auth).await {
            Err(tls) if tls.may_be_plain() && is_loopback(registry) => {
                let plain = self.fetch_over(ClientProtocol::Http, &reference, &auth).await;
                plain.map_err(|plain| plain.after_tls(&tls))
            }
            fetched => fetched.map_err(Failure::explained),
        }
    }

    async fn fetch_over(
        &self,
        protocol: ClientProtocol,
        reference: &Reference,
        auth: &RegistryAuth,
    ) -> Result<Fetched, Failure> {
        let config = ClientConfig { protocol, connect_timeout: Some(CONNECT_LIMIT), ..ClientConfig::default() };
        let client = Client::try_from(config)?;
        let (digest, manifest) = manifest(&client, reference, auth).await?;
        let layer = match manifest {
            Manifest::Image(manifest) => layer(&manifest)?.clone(),
            Manifest::Index(index) => only_component(&client, reference, auth, &index).await?,
        };
        let component = self.blob(&client, reference, &layer).await?;
        Ok(Fetched { component, manifest: digest })
    }

    async fn blob(&self, client: &Client, reference: &Reference, layer: &OciDescriptor) -> Result<Vec<u8>, Failure> {
        let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
        if size > self.max_bytes {
            return Err(format!("it has {size} bytes; a component may have at most {}", self.max_bytes).into());
        }
        let mut component = Bounded { bytes: Vec::new(), max_bytes: usize::try_from(size).unwrap_or(usize::MAX) };
        client.pull_blob(reference, layer, &mut component).await?;
        let received = sha256(&component.bytes);
        if received != layer.digest {
            let named = &layer.digest;
            let why = format!("the registry returned bytes with the digest {received}, but its manifest names {named}");
            return Err(why.into());
        }
        Ok(component.bytes)
    }
}

/// Whether a registry, `host` or `host:port`, is on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

enum Manifest {
    Image(Box<OciImageManifest>),
    /// A list of manifests.
    Index(OciImageIndex),
}

/// The manifest of a reference, and its digest. Digests that the registry reports are not trusted: each is computed from
/// the received bytes.
async fn manifest(client: &Client, reference: &Reference, auth: &RegistryAuth) -> Result<(String, Manifest), Failure> {
    let (raw, _) = client.pull_manifest_raw(reference, auth, &ACCEPTED).await?;
    if raw.len() > MAX_MANIFEST_BYTES {
        return Err(format!("its manifest has {} bytes; at most {MAX_MANIFEST_BYTES} are read", raw.len()).into());
    }
    let digest = sha256(&raw);
    if let Some(named) = reference.digest()
        && named != digest
    {
        return Err(format!("the registry returned a manifest with another digest, {digest}").into());
    }
    let unreadable = |error: serde_json::Error| Failure::from(format!("its manifest cannot be read: {error}"));
    let value: Value = serde_json::from_slice(&raw).map_err(unreadable)?;
    let manifest = if value.get("manifests").is_some() {
        Manifest::Index(serde_json::from_value(value).map_err(unreadable)?)
    } else {
        Manifest::Image(Box::new(serde_json::from_value(value).map_err(unreadable)?))
    };
    Ok((digest, manifest))
}

/// The layer with the component.
fn layer(manifest: &OciImageManifest) -> Result<&OciDescriptor, String> {
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!("it has {} layers; a policy has one, of type {LAYER}", manifest.layers.len()));
    };
    if layer.media_type != LAYER {
        let other = layer.media_type.escape_debug();
        return Err(format!("its layer is of type `{other}`; a policy's is `{LAYER}`"));
    }
    Ok(layer)
}

/// The layer with the component to which exactly one manifest of an index leads. The others may be attestations and
/// signatures.
async fn only_component(
    client: &Client,
    reference: &Reference,
    auth: &RegistryAuth,
    index: &OciImageIndex,
) -> Result<OciDescriptor, Failure> {
    let count = index.manifests.len();
    if count > MAX_MANIFESTS {
        return Err(format!("its index has {count} manifests; at most {MAX_MANIFESTS} are read").into());
    }
    let mut found: Vec<(&str, OciDescriptor)> = Vec::new();
    for entry in index.manifests.iter().filter(|entry| entry.media_type == MANIFEST) {
        let one = reference.clone_with_digest(entry.digest.clone());
        if let (_, Manifest::Image(manifest)) = self::manifest(client, &one, auth).await?
            && let Ok(layer) = layer(&manifest)
            && found.iter().all(|(_, other)| other.digest != layer.digest)
        {
            found.push((&entry.digest, layer.clone()));
        }
    }
    match found.as_slice() {
        [(_, layer)] => Ok(layer.clone()),
        [] => Err(format!("none of the {count} manifests of its index has a layer of type {LAYER}").into()),
        several => {
            let digests = several.iter().map(|(digest, _)| format!("`{digest}`")).collect::<Vec<_>>().join(", ");
            Err(format!("its index leads to {} components; name the digest of one: {digests}", several.len()).into())
        }
    }
}

impl std::fmt::Debug for Oci {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oci").finish_non_exhaustive()
    }
}

/// Accepts a limited number of bytes: a registry may send more than its manifest states.
struct Bounded {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.max_bytes {
            return Poll::Ready(Err(io::Error::other("the registry sends more bytes than its manifest states")));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    struct NoLogins;

    #[async_trait]
    impl RegistryLogins for NoLogins {
        async fn of(&self, _: &str) -> Result<Option<RegistryLogin>, String> {
            Ok(None)
        }
    }

    fn oci() -> Oci {
        // An error means that another test installed it.
        let _already = rustls::crypto::ring::default_provider().install_default();
        Oci::new(Arc::new(NoLogins), 1 << 20)
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
        let over_tls = oci().fetch_over(ClientProtocol::Https, &reference, &RegistryAuth::Anonymous).await;
        let why = over_tls.expect_err("no TLS").explained();
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
}
