//! `[metric_sources.NAME]`: access to the sources of metrics at some hosts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_core::{Origin, Secret, SourceAccess};
use windlass_files::private::{PrivateError, read_secret};

/// `[metric_sources.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    /// The hosts, `https://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The user of basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The file with the bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// The file with the certificates of the hosts' own authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Headers of each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Secret>>,
}

impl RawSource {
    /// The section of an access, with a mask in place of each header's value.
    pub(super) fn masked(access: &SourceAccess) -> Self {
        let SourceAccess { hosts, headers, username, password_file, bearer_token_file, ca_file } = access.clone();
        let headers: BTreeMap<String, Secret> =
            headers.into_keys().map(|name| (name, Secret::new(Secret::MASK))).collect();
        Self {
            hosts: Some(hosts.iter().map(ToString::to_string).collect()),
            username,
            password_file,
            bearer_token_file,
            ca_file,
            headers: Some(headers).filter(|headers| !headers.is_empty()),
        }
    }

    /// Checks the section; relative paths start at `folder`.
    fn check(self, section: &str, folder: &Path, problems: &mut Vec<String>) -> SourceAccess {
        let mut hosts: Vec<Origin> = Vec::new();
        for (index, host) in self.hosts.iter().flatten().enumerate() {
            match host.parse() {
                Ok(origin) => hosts.push(origin),
                Err(why) => problems.push(format!("`{section}.hosts[{index}]` is `{}`; {why}", host.escape_debug())),
            }
        }
        if self.hosts.as_ref().is_none_or(Vec::is_empty) {
            problems.push(format!(
                "`{section}.hosts` is empty; list the hosts that the section applies to: `[\"https://host:9090\"]`"
            ));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers.into_iter().flatten() {
            let shown = name.escape_debug();
            // The messages must not repeat the value.
            match name.parse::<http::HeaderName>() {
                Err(_) => {
                    problems.push(format!("`{section}.headers` has `{shown}`, which is not the name of a header"));
                }
                Ok(_) if http::HeaderValue::from_str(value.reveal()).is_err() => problems.push(format!(
                    "`{section}.headers.{shown}` has characters that a header cannot have; expected visible ASCII"
                )),
                Ok(name) => drop(headers.insert(name.as_str().to_owned(), value)),
            }
        }
        if self.password_file.is_some() && self.username.is_none() {
            problems.push(format!("`{section}.password_file` is set without `{section}.username`; set both"));
        }
        if self.bearer_token_file.is_some() && self.username.is_some() {
            problems.push(format!(
                "`{section}` has a `bearer_token_file` and a `username`, but a request has one of them; remove the other"
            ));
        }
        let file = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        let access = SourceAccess {
            hosts,
            headers,
            username: self.username,
            password_file: file(self.password_file),
            bearer_token_file: file(self.bearer_token_file),
            ca_file: file(self.ca_file),
        };
        for (key, path) in [
            ("password_file", &access.password_file),
            ("bearer_token_file", &access.bearer_token_file),
            ("ca_file", &access.ca_file),
        ] {
            let Some(path) = path else { continue };
            let shown = path.display();
            let text = if key == "ca_file" {
                std::fs::read_to_string(path).map_err(PrivateError::Io)
            } else {
                read_secret(path)
            };
            match text {
                Err(PrivateError::Exposed(exposed)) => {
                    problems.push(format!("`{section}.{key}` is not secret: {exposed}"));
                }
                Err(error) => problems.push(format!("`{section}.{key}`: cannot read `{shown}`: {error}")),
                Ok(text) if key == "ca_file" && !text.contains("-----BEGIN CERTIFICATE-----") => {
                    problems.push(format!(
                        "`{section}.{key}`: `{shown}` holds no certificate; expected PEM, `-----BEGIN CERTIFICATE-----`"
                    ));
                }
                Ok(text) if text.trim().is_empty() => {
                    problems.push(format!("`{section}.{key}`: `{shown}` is empty; expected the secret"));
                }
                Ok(_) => {}
            }
        }
        access
    }
}

/// Checks all sections; relative paths start at `folder`.
pub(super) fn sources(
    raw: BTreeMap<String, RawSource>,
    folder: &Path,
    problems: &mut Vec<String>,
) -> BTreeMap<String, SourceAccess> {
    let mut sources: BTreeMap<String, SourceAccess> = BTreeMap::new();
    for (name, source) in raw {
        let section = format!("metric_sources.{}", name.escape_debug());
        let access = source.check(&section, folder, problems);
        for (other, known) in &sources {
            for host in access.hosts.iter().filter(|host| known.hosts.contains(host)) {
                problems.push(format!("`{section}.hosts` has {host}, as `metric_sources.{other}` does; remove one"));
            }
        }
        sources.insert(name, access);
    }
    sources
}
