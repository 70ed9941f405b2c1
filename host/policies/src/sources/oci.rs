//! OCI registries as a source of policies. The artifacts have the CNCF's layout for WebAssembly: a manifest with one layer of
//! type `application/wasm`.

use crate::digest::sha256;
use async_trait::async_trait;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use windlass_core::RegistryLogin;

/// Media type of the component's layer in the CNCF's layout.
const LAYER: &str = "application/wasm";

/// Time limit of a fetch.
const LIMIT: Duration = Duration::from_secs(120);

/// Accepted media types of manifests: an artifact has an image manifest.
const MANIFESTS: [&str; 1] = ["application/vnd.oci.image.manifest.v1+json"];

/// Size of the largest accepted manifest in bytes.
const MAX_MANIFEST_BYTES: usize = 1 << 20;

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

    /// Fetches the component that `host/repository:tag` or `host/repository@sha256:…` refers to now. A registry on this
    /// machine (`localhost`, `127.0.0.1`) is contacted over plain HTTP, any other over TLS, as Docker does.
    ///
    /// # Errors
    /// The reason, in a sentence.
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
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let protocol = if is_local { ClientProtocol::Http } else { ClientProtocol::Https };
        let client = Client::new(ClientConfig { protocol, ..ClientConfig::default() });
        let auth = match self.logins.of(registry).await? {
            None => RegistryAuth::Anonymous,
            Some(RegistryLogin::Basic(name, password)) => RegistryAuth::Basic(name, password),
            Some(RegistryLogin::Bearer(token)) => RegistryAuth::Bearer(token),
        };
        let (raw, _) =
            client.pull_manifest_raw(&reference, &auth, &MANIFESTS).await.map_err(|error| error.to_string())?;
        if raw.len() > MAX_MANIFEST_BYTES {
            return Err(format!("its manifest has {} bytes; at most {MAX_MANIFEST_BYTES} are read", raw.len()));
        }
        // Digests that the registry reports are not trusted: both are computed from the received bytes.
        let manifest = sha256(&raw);
        if let Some(named) = reference.digest()
            && named != manifest
        {
            return Err(format!("the registry returned a manifest with another digest, {manifest}"));
        }
        let parsed: OciImageManifest =
            serde_json::from_slice(&raw).map_err(|error| format!("its manifest cannot be read: {error}"))?;
        let [layer] = parsed.layers.as_slice() else {
            return Err(format!("it has {} layers; a policy has one, of type {LAYER}", parsed.layers.len()));
        };
        if layer.media_type != LAYER {
            let other = layer.media_type.escape_debug();
            return Err(format!("its layer is of type `{other}`; a policy's is `{LAYER}`"));
        }
        let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
        if size > self.max_bytes {
            return Err(format!("it has {size} bytes; a component may have at most {}", self.max_bytes));
        }
        let mut component = Bounded { bytes: Vec::new(), max_bytes: usize::try_from(size).unwrap_or(usize::MAX) };
        client.pull_blob(&reference, layer, &mut component).await.map_err(|error| error.to_string())?;
        let received = sha256(&component.bytes);
        if received != layer.digest {
            return Err(format!(
                "the registry returned bytes with the digest {received}, but its manifest names {}",
                layer.digest
            ));
        }
        Ok(Fetched { component: component.bytes, manifest })
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
