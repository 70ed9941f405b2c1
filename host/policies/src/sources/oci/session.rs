//! The requests to one registry, with its login and within limits.

use crate::sources::oci::challenge::{Challenge, challenge};
use crate::sources::oci::failure::Failure;
use crate::sources::oci::hosts::Hosts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use windlass_core::net::{Allowance, HttpSender, Reach, SendError};
use windlass_core::{Origin, RegistryLogin};

/// Bytes of a response with a token.
const TOKEN_BYTES: u64 = 64 << 10;

/// Bytes read of an error, and characters shown of it.
const ERROR_BYTES: u64 = 8 << 10;
const ERROR_CHARACTERS: usize = 200;

/// A request to a registry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The accepted media types. `None` if every type is accepted.
    pub(super) accept: Option<&'static str>,
    /// Bytes of the response.
    pub(super) body_bytes: u64,
}

/// The requests about one repository of a registry.
pub(super) struct Session<'a> {
    sender: &'a dyn HttpSender,
    hosts: Hosts,
    repository: &'a str,
    login: Option<&'a RegistryLogin>,
    /// The header that the registry accepts. `None` until it asks for one.
    authorization: Option<HeaderValue>,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        sender: &'a dyn HttpSender,
        hosts: Hosts,
        repository: &'a str,
        login: Option<&'a RegistryLogin>,
    ) -> Self {
        Self { sender, hosts, repository, login, authorization: None }
    }

    /// Fetches a path below the repository. `too_long` is the reason for a longer response.
    pub(super) async fn get(&mut self, path: &str, wanted: Wanted, too_long: &str) -> Result<Bytes, Failure> {
        let url = format!("{}/v2/{}/{path}", self.hosts.own(), self.repository);
        let mut response = self.request(&url, wanted, too_long).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.authorization.is_none() {
            self.authorization = self.log_in(response.headers()).await?;
            if self.authorization.is_some() {
                response = self.request(&url, wanted, too_long).await?;
            }
        }
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            StatusCode::UNAUTHORIZED => Err(format!("Not authorized{}", said(response.body())).into()),
            status => Err(format!("the registry responded with status {status}{}", said(response.body())).into()),
        }
    }

    async fn request(&self, url: &str, wanted: Wanted, too_long: &str) -> Result<Response<Bytes>, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = wanted.accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let allowance = Allowance {
            reach: Reach::Configured,
            body_bytes: wanted.body_bytes,
            error_bytes: Some(ERROR_BYTES),
            redirects: Some(&self.hosts),
        };
        self.send(url, headers, allowance).await.map_err(|error| match error {
            SendError::TooLong(_) => too_long.to_owned().into(),
            error => error.into(),
        })
    }

    async fn send(
        &self,
        url: &str,
        headers: HeaderMap,
        allowance: Allowance<'_>,
    ) -> Result<Response<Bytes>, SendError> {
        let request = http::Request::get(url).body(Bytes::new());
        let mut request = request.map_err(|error| SendError::Failed(error.to_string()))?;
        *request.headers_mut() = headers;
        self.sender.send(request, allowance).await
    }

    /// The header that meets the registry's demand. `None` if there is no login for it.
    async fn log_in(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
        match (challenge(headers), self.login) {
            (Some(_), Some(RegistryLogin::Bearer(token))) => Ok(Some(secret(&format!("Bearer {token}"))?)),
            (Some(Challenge::Basic), Some(RegistryLogin::Basic(name, password))) => Ok(Some(basic(name, password)?)),
            (Some(Challenge::Bearer { realm, service }), login) => {
                let token = self.token(&realm, service.as_deref(), login).await?;
                Ok(Some(secret(&format!("Bearer {token}"))?))
            }
            (Some(Challenge::Basic) | None, _) => Ok(None),
        }
    }

    /// A token of the server that the registry names.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        login: Option<&RegistryLogin>,
    ) -> Result<String, Failure> {
        let url = Url::parse(realm).ok().and_then(|url| Some((host(&url)?, url)));
        let Some((host, mut url)) = url else {
            return Err(format!("the registry asks for a login at `{}`, which is no address", cut(realm)).into());
        };
        let login = match login {
            Some(RegistryLogin::Basic(name, password)) => Some((name, password)),
            Some(RegistryLogin::Bearer(_)) | None => None,
        };
        let reach = self.hosts.token_host(&host, login.is_some())?;
        // These fail only for addresses without a host.
        let _ = (url.set_username(""), url.set_password(None));
        // Not the scope that the registry names: it could be for another registry's repository.
        let scope = format!("repository:{}:pull", self.repository);
        url.query_pairs_mut().append_pair("scope", &scope).extend_pairs(service.map(|service| ("service", service)));
        let mut headers = HeaderMap::new();
        if let Some((name, password)) = login {
            headers.insert(AUTHORIZATION, basic(name, password)?);
        }
        let allowance = Allowance { reach, body_bytes: TOKEN_BYTES, error_bytes: Some(ERROR_BYTES), redirects: None };
        let response = self.send(url.as_str(), headers, allowance).await.map_err(|error| match error {
            SendError::TooLong(most) => format!("the token of {host} has more than {most} bytes").into(),
            error => Failure::from(error),
        })?;
        if response.status() != StatusCode::OK {
            let (status, said) = (response.status(), said(response.body()));
            return Err(format!("Not authorized: {host} responded with status {status} to the login{said}").into());
        }
        let token = serde_json::from_slice::<Token>(response.body()).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        // The answer may be a secret, so it is not shown.
        token.ok_or_else(|| format!("the answer of {host} to the login has no token").into())
    }
}

/// The host of an address.
fn host(url: &Url) -> Option<Origin> {
    Origin::new(url.scheme(), url.host_str().unwrap_or_default(), url.port()).ok()
}

fn basic(name: &str, password: &str) -> Result<HeaderValue, Failure> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

fn secret(text: &str) -> Result<HeaderValue, Failure> {
    let invalid = |_| Failure::from("the login has characters that a header cannot have".to_owned());
    let mut value = HeaderValue::from_str(text).map_err(invalid)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The reason in the body of an error, in one line: the messages in the registries' format, or the first line.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let errors = serde_json::from_str(&text).ok().and_then(|answer: Value| {
        let errors = answer["errors"].as_array()?;
        let message = |error: &Value| Some(error["message"].as_str().or(error["code"].as_str())?.to_owned());
        Some(errors.iter().filter_map(message).collect::<Vec<_>>().join(", "))
    });
    let line = errors
        .unwrap_or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned());
    if line.is_empty() { line } else { format!(": {}", cut(&line)) }
}

fn cut(text: &str) -> String {
    text.replace(char::is_control, " ").chars().take(ERROR_CHARACTERS).collect()
}
