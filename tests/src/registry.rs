//! An OCI registry on the loopback interface.

use crate::wait::until;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Time limit for the registry to answer.
const LIMIT: Duration = Duration::from_secs(40);

/// The only user of a registry with authentication.
pub const USER: &str = "ada";
/// The user's password.
pub const PASSWORD: &str = "a-secret";
/// The bcrypt hash of the password.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuuNnUOSpw7zf/58okJM78yFwF6JcBtEB6";

/// Media type of an artifact's manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry. Dropping the value ends it.
pub struct Registry {
    _folder: TempDir,
    process: Child,
    scheme: &'static str,
    address: String,
    client: reqwest::Client,
    password: Option<&'static str>,
}

impl Registry {
    /// Starts a registry that accepts everyone, or only [`USER`], over plain HTTP.
    ///
    /// # Errors
    /// If there is no `docker-registry`, or it does not start.
    pub async fn start(asks_who: bool) -> anyhow::Result<Self> {
        Self::start_over("http", asks_who).await
    }

    /// Starts a registry that accepts everyone, over TLS. [`authority`] signed its certificate.
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub async fn start_with_tls() -> anyhow::Result<Self> {
        Self::start_over("https", false).await
    }

    async fn start_over(scheme: &'static str, asks_who: bool) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("windlass-registry-").tempdir()?;
        // The port was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut settings = json!({
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("blobs")}},
            "http": {"addr": address},
        });
        if asks_who {
            let users = folder.path().join("users");
            std::fs::write(&users, format!("{USER}:{HASH}\n"))?;
            settings["auth"] = json!({"htpasswd": {"realm": "tests", "path": users}});
        }
        if scheme == "https" {
            settings["http"]["tls"] =
                json!({"certificate": certificate("server.pem"), "key": certificate("server.key")});
        }
        let file = folder.path().join("registry.yml");
        // JSON is valid YAML.
        std::fs::write(&file, settings.to_string())?;
        let process = Command::new(program()?)
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log"))?)
            .spawn()?;
        let _already = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(&std::fs::read(authority())?)?;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build()?;
        let password = asks_who.then_some(PASSWORD);
        let registry = Self { _folder: folder, process, scheme, address, client, password };
        let url = format!("{}/v2/", registry.url());
        until("the registry to answer", LIMIT, async || {
            registry.client.get(&url).send().await.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(registry)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Stores a component as the artifact `repository:tag`, and returns the digest of its manifest.
    ///
    /// # Errors
    /// If the registry rejects the component.
    pub async fn put(&self, repository: &str, tag: &str, component: &[u8]) -> anyhow::Result<String> {
        let layer = json!({"mediaType": "application/wasm", "size": component.len(), "digest": self.blob(repository, component).await?});
        self.put_manifest(repository, tag, &[layer]).await
    }

    /// Stores a manifest with these layers.
    ///
    /// # Errors
    /// If the registry rejects the manifest.
    pub async fn put_manifest(&self, repository: &str, tag: &str, layers: &[Value]) -> anyhow::Result<String> {
        let config = br#"{"architecture":"wasm","os":"wasip2"}"#;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "size": config.len(),
                "digest": self.blob(repository, config).await?,
            },
            "layers": layers,
        });
        self.put_document(repository, tag, MANIFEST, &manifest).await
    }

    /// Stores an index of these manifests, each with its size, and returns the digest of the index.
    ///
    /// # Errors
    /// If the registry rejects the index.
    pub async fn put_index(&self, repository: &str, tag: &str, manifests: &[Value]) -> anyhow::Result<String> {
        let media = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media, "manifests": manifests});
        self.put_document(repository, tag, media, &index).await
    }

    /// The entry of an index for the manifest with this digest.
    ///
    /// # Errors
    /// If the registry does not have it.
    pub async fn entry(&self, repository: &str, digest: &str) -> anyhow::Result<Value> {
        let url = format!("{}/v2/{repository}/manifests/{digest}", self.url());
        let manifest = self.as_user(self.client.get(url)).header("accept", MANIFEST).send().await?;
        let size = manifest.error_for_status()?.bytes().await?.len();
        Ok(json!({"mediaType": MANIFEST, "digest": digest, "size": size}))
    }

    async fn put_document(&self, repository: &str, tag: &str, media: &str, document: &Value) -> anyhow::Result<String> {
        let url = format!("{}/v2/{repository}/manifests/{tag}", self.url());
        let request = self.as_user(self.client.put(url)).header("content-type", media);
        let put = request.body(document.to_string()).send().await?;
        ensure!(put.status() == 201, "the registry rejected the manifest with {}: {}", put.status(), put.text().await?);
        let digest = put.headers().get("docker-content-digest").context("the answer has no digest")?;
        Ok(digest.to_str()?.to_owned())
    }

    /// Stores bytes, and returns their digest.
    ///
    /// # Errors
    /// If the registry rejects the bytes.
    pub async fn blob(&self, repository: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let digest = windlass_sandbox::component::digest(bytes);
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let begun = self.as_user(self.client.post(url)).send().await?;
        let place = begun.headers().get("location").context("the answer has no upload location")?.to_str()?.to_owned();
        let separator = if place.contains('?') { '&' } else { '?' };
        let request = self.as_user(self.client.put(format!("{place}{separator}digest=sha256:{digest}")));
        let put = request.header("content-type", "application/octet-stream").body(bytes.to_vec()).send().await?;
        ensure!(put.status() == 201, "the registry rejected the bytes with {}", put.status());
        Ok(format!("sha256:{digest}"))
    }

    fn as_user(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.password {
            Some(password) => request.basic_auth(USER, Some(password)),
            None => request,
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The certificate of the authority that signed the certificate of a registry with TLS. Both are valid from 2020 to 2099.
pub fn authority() -> PathBuf {
    certificate("authority.pem")
}

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry").join(name)
}

/// The registry's program: the machine's own, otherwise the one that `.ci/setup` fetched.
fn program() -> anyhow::Result<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/docker-registry");
    let installed = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("docker-registry"))
        .find(|file| file.is_file());
    match installed {
        Some(installed) => Ok(installed),
        None if fetched.is_file() => Ok(fetched),
        None => bail!("there is no docker-registry; run `.ci/setup` to fetch it"),
    }
}
