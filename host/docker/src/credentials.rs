//! Registry credentials from the user's Docker configuration (`config.json`) and its credential helpers.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use windlass_core::RegistryLogin;
use windlass_core::error_chain;

/// Docker Hub's name in the configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Time limit of a credential helper.
const HELPER_LIMIT: Duration = Duration::from_secs(10);
/// The encoding used by `docker login`; some tools omit the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why credentials are not available. A public image can be pulled without them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("cannot read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` is not a valid Docker configuration")]
    Parse { path: String, source: serde_json::Error },
    #[error("the entry of `{registry}` in the Docker configuration is not `user:password` in base64; log in again")]
    Entry { registry: String },
    #[error("credential helper `{helper}`: {reason}")]
    Helper { helper: String, reason: String },
}

/// The part of `config.json` about registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// The registry of an image, under its name in the configuration.
pub(crate) fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => match first {
            "docker.io" | "index.docker.io" => DOCKER_HUB,
            other => other,
        },
        _ => DOCKER_HUB,
    }
}

/// The credentials for `image`'s registry. `None` if there is no configuration or it has none for the registry.
///
/// # Errors
/// If the configuration cannot be read or a helper fails. The error contains no secrets.
pub(crate) async fn find(folder: Option<&Path>, image: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let Some(path) = folder.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let text = match tokio::fs::read(&path).await {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { path: path.display().to_string(), source }),
    };
    let configuration: Configuration = serde_json::from_slice(&text)
        .map_err(|source| CredentialsError::Parse { path: path.display().to_string(), source })?;
    let registry = registry_of(image);
    let helper = configuration
        .cred_helpers
        .iter()
        .find(|(name, _)| host_of(name) == host_of(registry))
        .map(|(_, helper)| helper)
        .or(configuration.creds_store.as_ref())
        .filter(|helper| !helper.is_empty());
    if let Some(helper) = helper
        && let Some(credentials) = run_helper(helper, registry).await?
    {
        return Ok(Some(credentials));
    }
    match entry(&configuration.auths, registry) {
        Some(entry) => from_entry(entry, registry),
        None => Ok(None),
    }
}

/// The login for the registry at `host` or `host:port`. `None` if the user's configuration has none.
///
/// # Errors
/// If the configuration cannot be read or a helper fails. The error contains no secrets.
pub async fn login(registry: &str) -> Result<Option<RegistryLogin>, String> {
    let folder = crate::environment::Environment::of_process().config_folder;
    // The lookup expects an image name.
    let image = format!("{registry}/policy");
    let found = find(folder.as_deref(), &image).await.map_err(|error| error_chain(&error))?;
    found.map_or(Ok(None), login_of)
}

/// The login to send to a registry directly, without the engine.
fn login_of(found: DockerCredentials) -> Result<Option<RegistryLogin>, String> {
    Ok(match (found.username, found.password, found.registrytoken, found.identitytoken) {
        (_, _, Some(token), _) => Some(RegistryLogin::Bearer(token)),
        // An identity token is only for the registry's token server. As a bearer token it would be rejected and
        // leaked.
        (_, _, None, Some(_)) => {
            let registry = found.serveraddress.unwrap_or_default();
            return Err(format!(
                "the login of `{registry}` is an identity token, which windlass cannot exchange; log in with a user \
                 and a password or an access token"
            ));
        }
        (Some(name), Some(password), None, None) => Some(RegistryLogin::Basic(name, password)),
        _ => None,
    })
}

/// The entry with this exact name, else one with the same host: `https://r.example/v2/` is an entry for `r.example`.
fn entry<'a>(auths: &'a HashMap<String, Entry>, registry: &str) -> Option<&'a Entry> {
    auths.get(registry).or_else(|| {
        let mut same_host: Vec<_> = auths.iter().filter(|(name, _)| host_of(name) == host_of(registry)).collect();
        same_host.sort_by_key(|(name, _)| name.as_str());
        same_host.first().map(|(_, entry)| *entry)
    })
}

fn host_of(name: &str) -> &str {
    let bare = name.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or(bare);
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        other => other,
    }
}

fn from_entry(entry: &Entry, registry: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let entry = entry.clone();
    let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
    let mut credentials = DockerCredentials {
        username: filled(entry.username),
        password: filled(entry.password),
        identitytoken: filled(entry.identitytoken),
        registrytoken: filled(entry.registrytoken),
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    };
    if let Some(auth) = filled(entry.auth) {
        let invalid = || CredentialsError::Entry { registry: registry.to_owned() };
        let decoded = BASE64.decode(auth.trim()).map_err(|_| invalid())?;
        let decoded = String::from_utf8(decoded).map_err(|_| invalid())?;
        let (username, password) = decoded.split_once(':').ok_or_else(invalid)?;
        credentials.username = Some(username.to_owned());
        credentials.password = Some(password.trim_end_matches('\0').to_owned());
    }
    let is_empty =
        credentials.username.is_none() && credentials.identitytoken.is_none() && credentials.registrytoken.is_none();
    Ok(if is_empty { None } else { Some(credentials) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperResponse {
    username: String,
    secret: String,
}

/// Runs `docker-credential-<helper> get`, as the Docker client does.
async fn run_helper(helper: &str, registry: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
    let failed = |reason: String| CredentialsError::Helper { helper: helper.to_owned(), reason };
    if !helper.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(failed(
            "its name must consist of letters, digits, `-`, `_` and `.`; correct it in `config.json`".to_owned(),
        ));
    }
    let mut child = tokio::process::Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error_chain(&error)))?;
    let mut stdin = child.stdin.take();
    let result = tokio::time::timeout(HELPER_LIMIT, async move {
        if let Some(stdin) = &mut stdin {
            // A helper that does not read its input may still respond.
            let _ = stdin.write_all(registry.as_bytes()).await;
        }
        drop(stdin);
        child.wait_with_output().await
    });
    let output = match result.await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(error_chain(&error))),
        Err(_) => return Err(failed(format!("no response within {} s", HELPER_LIMIT.as_secs()))),
    };
    if !output.status.success() {
        // A helper without a matching entry fails with this text on stdout; nothing else distinguishes it.
        let stdout = String::from_utf8_lossy(&output.stdout);
        return if stdout.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(output.status.to_string()))
        };
    }
    let response: HelperResponse =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("its output is not credentials".to_owned()))?;
    let credentials = DockerCredentials { serveraddress: Some(registry.to_owned()), ..DockerCredentials::default() };
    Ok(Some(if response.username == "<token>" {
        DockerCredentials { identitytoken: Some(response.secret), ..credentials }
    } else {
        DockerCredentials { username: Some(response.username), password: Some(response.secret), ..credentials }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find_in(configuration: &str, image: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), configuration).unwrap();
        find(Some(folder.path()), image).await
    }

    #[test]
    fn the_registry_is_the_first_part_when_it_looks_like_a_host() {
        for (image, registry) in [
            ("nginx", DOCKER_HUB),
            ("org/app:1", DOCKER_HUB),
            ("docker.io/org/app", DOCKER_HUB),
            ("ghcr.io/org/app", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[tokio::test]
    async fn an_entry_is_found_by_its_host() {
        // user:pa:ss and user2:x, the second without padding.
        let configuration = r#"{"auths": {"https://r.example/v2/": {"auth": "dXNlcjpwYTpzcw=="},
            "https://index.docker.io/v1/": {"auth": "dXNlcjI6eA"}}, "HttpHeaders": {"x": "y"}}"#;
        let found = find_in(configuration, "r.example/app:1").await.unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("user"), Some("pa:ss")));
        assert_eq!(found.serveraddress.as_deref(), Some("r.example"));
        let hub = find_in(configuration, "nginx").await.unwrap().unwrap();
        assert_eq!((hub.username.as_deref(), hub.password.as_deref()), (Some("user2"), Some("x")));
        assert!(find_in(configuration, "other.example/app").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_token_needs_no_user() {
        let found = find_in(r#"{"auths": {"r.example": {"identitytoken": "t"}}}"#, "r.example/a").await.unwrap();
        assert_eq!(found.unwrap().identitytoken.as_deref(), Some("t"));
        assert!(find_in(r#"{"auths": {"r.example": {}}}"#, "r.example/a").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_identity_token_is_sent_to_nobody() {
        let login = async |entry: &str| {
            let found = find_in(&format!(r#"{{"auths": {{"r.example": {entry}}}}}"#), "r.example/a").await.unwrap();
            login_of(found.unwrap())
        };
        let rejected = login(r#"{"auth": "dXNlcjo=", "identitytoken": "secret"}"#).await.unwrap_err();
        assert!(rejected.contains("`r.example` is an identity token") && !rejected.contains("secret"), "{rejected}");
        let bearer = login(r#"{"registrytoken": "t"}"#).await;
        assert!(matches!(bearer, Ok(Some(RegistryLogin::Bearer(token))) if token == "t"));
        let basic = login(r#"{"auth": "dXNlcjpwYTpzcw=="}"#).await;
        assert!(matches!(basic, Ok(Some(RegistryLogin::Basic(user, _))) if user == "user"));
    }

    #[tokio::test]
    async fn no_configuration_means_no_credentials() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(Some(folder.path()), "nginx").await.unwrap().is_none());
        assert!(find(None, "nginx").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said_without_secrets() {
        assert!(matches!(find_in("{", "nginx").await, Err(CredentialsError::Parse { .. })));
        for auth in ["c2VjcmV0", "!"] {
            let configuration = format!(r#"{{"auths": {{"r.example": {{"auth": "{auth}"}}}}}}"#);
            let rejected = find_in(&configuration, "r.example/a").await.unwrap_err().to_string();
            assert!(rejected.contains("r.example") && !rejected.contains("secret"), "{rejected}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_or_not_a_name_is_an_error() {
        for helper in ["windlass-no-such-helper", "../../bin/sh"] {
            let configuration = format!(r#"{{"credHelpers": {{"r.example": "{helper}"}}}}"#);
            let rejected = find_in(&configuration, "r.example/a").await.unwrap_err();
            assert!(matches!(rejected, CredentialsError::Helper { .. }), "{rejected}");
            assert!(find_in(&configuration, "nginx").await.unwrap().is_none());
        }
    }
}
