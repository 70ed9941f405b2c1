//! Components from an OCI registry, in the layout of the CNCF for WebAssembly: a manifest with one layer of type
//! `application/wasm`.

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

/// What the layer of a component is called, as the CNCF's layout says.
const LAYER: &str = "application/wasm";

/// Time a whole fetch may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Manifests that are asked for: an artifact's is that of an image.
const MANIFESTS: [&str; 1] = ["application/vnd.oci.image.manifest.v1+json"];

/// Longest manifest that is read as one, in bytes.
const LONGEST_MANIFEST: usize = 1 << 20;

/// Where logins are found.
#[async_trait]
pub trait RegistryLogins: Send + Sync + 'static {
    /// That of the registry at `host` or `host:port`; none: nothing is known.
    ///
    /// # Errors
    /// Why it cannot be had; nothing secret is in it.
    async fn of(&self, registry: &str) -> Result<Option<RegistryLogin>, String>;
}

/// A component, and the manifest it was named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The component.
    pub component: Vec<u8>,
    /// `sha256:` and the digest of the manifest that the reference led to.
    pub manifest: String,
}

/// Fetches components.
pub struct Oci {
    logins: Arc<dyn RegistryLogins>,
    /// Longest component, in bytes.
    longest: u64,
}

impl Oci {
    /// With these logins, and components of at most `longest` bytes.
    pub fn new(logins: Arc<dyn RegistryLogins>, longest: u64) -> Self {
        Self { logins, longest }
    }

    /// The component that `host/repository:tag` or `host/repository@sha256:…` leads to now. A registry on this
    /// machine (`localhost`, `127.0.0.1`) is asked over plain HTTP, any other over TLS, as Docker does.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    pub async fn fetch(&self, reference: &str) -> Result<Fetched, String> {
        match tokio::time::timeout(LIMIT, self.fetch_now(reference)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("fetching it took longer than {} s", LIMIT.as_secs())),
        }
    }

    async fn fetch_now(&self, text: &str) -> Result<Fetched, String> {
        let reference: Reference =
            text.parse().map_err(|error| format!("`{}` is no reference: {error}", text.escape_debug()))?;
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
        if raw.len() > LONGEST_MANIFEST {
            return Err(format!("its manifest has {} bytes; at most {LONGEST_MANIFEST} are read", raw.len()));
        }
        // What the registry says of digests is not taken for granted: both are of what came.
        let manifest = sha256(&raw);
        if let Some(named) = reference.digest()
            && named != manifest
        {
            return Err(format!("the registry gave a manifest with the digest {manifest}"));
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
        if size > self.longest {
            return Err(format!("it has {size} bytes; a component may have at most {}", self.longest));
        }
        let mut component = Bounded { bytes: Vec::new(), longest: usize::try_from(size).unwrap_or(usize::MAX) };
        client.pull_blob(&reference, layer, &mut component).await.map_err(|error| error.to_string())?;
        let came = sha256(&component.bytes);
        if came != layer.digest {
            return Err(format!("the registry gave bytes with the digest {came}, its manifest names {}", layer.digest));
        }
        Ok(Fetched { component: component.bytes, manifest })
    }
}

impl std::fmt::Debug for Oci {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oci").finish_non_exhaustive()
    }
}

/// Takes so many bytes and no more: a registry may send more than its manifest says.
struct Bounded {
    bytes: Vec<u8>,
    longest: usize,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.longest {
            return Poll::Ready(Err(io::Error::other("the registry sends more bytes than its manifest says")));
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
