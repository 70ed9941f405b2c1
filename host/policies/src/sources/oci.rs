//! OCI registries as a source of policies. The artifacts have the CNCF's layout for WebAssembly: a manifest with one layer of
//! type `application/wasm`. An index may lead to that manifest.

mod challenge;
mod failure;
mod hosts;
mod manifest;
mod session;

use crate::digest::sha256;
use crate::sources::oci::failure::Failure;
use crate::sources::oci::hosts::Hosts;
use crate::sources::oci::manifest::{Layer, MAX_MANIFEST_BYTES, Manifest};
use crate::sources::oci::session::{Session, Wanted};
use async_trait::async_trait;
use oci_spec::distribution::Reference;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::HttpSender;
use windlass_core::{Origin, RegistryLogin};

/// Time limit of a fetch.
const LIMIT: Duration = Duration::from_secs(120);

/// Accepted media types of a manifest. Docker's are read for their problem: they lead to container images.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

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
    sender: Arc<dyn HttpSender>,
    logins: Arc<dyn RegistryLogins>,
    /// Other hosts that a registry may name for its logins and downloads, by the registry's `host` or `host:port`.
    hosts: BTreeMap<String, Vec<Origin>>,
    /// Size of the largest accepted component in bytes.
    max_bytes: u64,
}

impl Oci {
    /// Fetches with these logins components of at most `max_bytes`. `hosts` lists, for a registry (`host` or `host:port`),
    /// the other hosts that it may name for its logins and downloads.
    pub fn new(
        sender: Arc<dyn HttpSender>,
        logins: Arc<dyn RegistryLogins>,
        hosts: BTreeMap<String, Vec<Origin>>,
        max_bytes: u64,
    ) -> Self {
        Self { sender, logins, hosts, max_bytes }
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
        let login = self.logins.of(registry).await?;
        match self.fetch_over("https", &reference, login.as_ref()).await {
            Err(tls) if tls.may_be_plain() && is_loopback(registry) => {
                let plain = self.fetch_over("http", &reference, login.as_ref()).await;
                plain.map_err(|plain| plain.after_tls(&tls))
            }
            fetched => fetched.map_err(Failure::explained),
        }
    }

    async fn fetch_over(
        &self,
        scheme: &str,
        reference: &Reference,
        login: Option<&RegistryLogin>,
    ) -> Result<Fetched, Failure> {
        let registry = reference.resolve_registry();
        let hosts = Hosts::new(scheme, registry, self.hosts.get(registry).map(Vec::as_slice).unwrap_or_default())?;
        let mut session = Session::new(&*self.sender, hosts, reference.repository(), login);
        let of = reference.digest().or(reference.tag()).unwrap_or("latest");
        let (digest, manifest) = fetch_manifest(&mut session, of, reference.digest()).await?;
        let layer = match manifest {
            Manifest::Image(layer) => layer?,
            Manifest::Index(digests) => only_component(&mut session, digests).await?,
        };
        let component = self.blob(&mut session, &layer).await?;
        Ok(Fetched { component, manifest: digest })
    }

    async fn blob(&self, session: &mut Session<'_>, layer: &Layer) -> Result<Vec<u8>, Failure> {
        let Layer { digest, size } = layer;
        if *size > self.max_bytes {
            return Err(format!("it has {size} bytes; a component may have at most {}", self.max_bytes).into());
        }
        let path = format!("blobs/{digest}");
        let wanted = Wanted { accept: None, body_bytes: *size };
        let component = session.get(&path, wanted, "the registry sends more bytes than its manifest states").await?;
        let received = sha256(&component);
        if received != *digest {
            let why =
                format!("the registry returned bytes with the digest {received}, but its manifest names {digest}");
            return Err(why.into());
        }
        Ok(component.into())
    }
}

/// Whether a registry, `host` or `host:port`, is on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The manifest of a tag or digest, and its digest. Digests that the registry reports are not trusted: each is computed from
/// the received bytes.
async fn fetch_manifest(
    session: &mut Session<'_>,
    of: &str,
    expected: Option<&str>,
) -> Result<(String, Manifest), Failure> {
    let wanted = Wanted { accept: Some(ACCEPTED), body_bytes: MAX_MANIFEST_BYTES };
    let too_long = format!("its manifest has more than {MAX_MANIFEST_BYTES} bytes; no longer one is read");
    let raw = session.get(&format!("manifests/{of}"), wanted, &too_long).await?;
    let digest = sha256(&raw);
    if expected.is_some_and(|expected| expected != digest) {
        return Err(format!("the registry returned a manifest with another digest, {digest}").into());
    }
    Ok((digest, manifest::parse(&raw)?))
}

/// The layer with the component to which exactly one manifest of an index leads. The others may be attestations and
/// signatures.
async fn only_component(session: &mut Session<'_>, digests: Vec<String>) -> Result<Layer, Failure> {
    let count = digests.len();
    if count > MAX_MANIFESTS {
        return Err(format!("its index has {count} manifests; at most {MAX_MANIFESTS} are read").into());
    }
    let mut found: Vec<(String, Layer)> = Vec::new();
    for digest in digests {
        if let (_, Manifest::Image(Ok(layer))) = fetch_manifest(session, &digest, Some(&digest)).await?
            && found.iter().all(|(_, other)| other.digest != layer.digest)
        {
            found.push((digest, layer));
        }
    }
    match found.as_slice() {
        [(_, layer)] => Ok(layer.clone()),
        [] => Err(format!("none of the {count} manifests of its index has a layer of type {}", manifest::LAYER).into()),
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

#[cfg(test)]
mod tests;
