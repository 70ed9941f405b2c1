//! Requests to the sources of metrics: addresses, credentials, own certificate authorities, and compressed responses.

use crate::client::{Client, ClientError, Excess, body};
use crate::redirect::origin;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, AGE, AUTHORIZATION, CONTENT_ENCODING, DATE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;
use windlass_core::net::{NetError, SourceRequest, SourceResponse};
use windlass_core::time::millis;
use windlass_core::{BasicAuth, Credentials, Secret, SourceAccess, Timestamp, root_cause};

/// The first bytes of data that gzip compressed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The access to the sources of some hosts, with a client that trusts their certificate authority.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    settings: SourceAccess,
    /// `None` if the hosts have no certificate authority of their own.
    client: Option<Client>,
}

impl Access {
    /// Reads the certificates. `build` finishes a client.
    ///
    /// # Errors
    /// A sentence that names the file, if it cannot be read or holds no certificate.
    pub(crate) fn new(
        settings: SourceAccess,
        build: impl Fn(reqwest::ClientBuilder) -> Result<Client, NetError>,
    ) -> Result<Self, NetError> {
        let client = settings.ca_file.as_deref().map(|file| {
            let unusable = |why: String| NetError::Failed(format!("`{}`: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem);
            let certificates = certificates.map_err(|error| unusable(root_cause(&error)))?;
            if certificates.is_empty() {
                return Err(unusable(
                    "it holds no certificate; expected PEM, `-----BEGIN CERTIFICATE-----`".to_owned(),
                ));
            }
            build(reqwest::Client::builder().tls_certs_merge(certificates))
        });
        Ok(Self { client: client.transpose()?, settings })
    }

    fn is_for(&self, url: &Url) -> bool {
        origin(url).is_some_and(|origin| self.settings.hosts.contains(&origin))
    }
}

/// Sends a request with the credentials of its metric; where there are none, with those of the configuration.
pub(crate) async fn query(
    client: &Client,
    accesses: &[Access],
    request: &SourceRequest<'_>,
    longest: u64,
) -> Result<SourceResponse, NetError> {
    let url = address(request)?;
    let access = accesses.iter().find(|access| access.is_for(&url));
    let client = access.and_then(|access| access.client.as_ref()).unwrap_or(client);
    let authenticated =
        authenticate(client.requests(), url, request.credentials, access.map(|access| &access.settings)).await?;
    let request = authenticated.build().map_err(ClientError::from)?;
    let mut response = client.send(request).await?;
    let body = body(&mut response, longest, Excess::IsAnError).await?;
    let too_long = || NetError::from(ClientError::LongBody(longest));
    let header = |name: HeaderName| response.headers().get(name)?.to_str().ok();
    let encoding = header(CONTENT_ENCODING).map(str::trim).filter(|encoding| *encoding != "identity");
    let body = match encoding {
        // Documents that are stored compressed come without the header.
        _ if body.starts_with(&GZIP) => decompressed(&body, longest)?.ok_or_else(too_long)?,
        // Another part of the path may have decompressed it already.
        None | Some("gzip" | "x-gzip") => body,
        Some(other) => {
            let other = other.escape_debug();
            return Err(NetError::Failed(format!("the response is compressed with `{other}`; expected gzip or none")));
        }
    };
    // A cache sends the date of the original response, and its age in seconds.
    let age = header(AGE).and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or_default();
    let date = header(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    Ok(SourceResponse {
        status: response.status(),
        location: header(LOCATION).map(str::to_owned),
        date: date.map(|date| Timestamp(millis(date).saturating_add(age.saturating_mul(1_000)))),
        body: Bytes::from(body),
    })
}

/// The complete address of a request.
fn address(request: &SourceRequest<'_>) -> Result<Url, NetError> {
    let SourceRequest { url, endpoint, query, .. } = request;
    let mut url =
        Url::parse(url.reveal()).map_err(|error| NetError::Failed(format!("the address is invalid: {error}")))?;
    let path = url.path().trim_end_matches('/');
    if !endpoint.is_empty() && !path.ends_with(endpoint) {
        let path = format!("{path}{endpoint}");
        url.set_path(&path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(*query);
    }
    Ok(url)
}

/// The request with its headers. The first of these authenticates it: the metric's header or user, the user in its address,
/// the configured header, the configured token, the configured user.
async fn authenticate(
    client: &reqwest::Client,
    mut url: Url,
    own: &Credentials,
    access: Option<&SourceAccess>,
) -> Result<RequestBuilder, NetError> {
    let none = SourceAccess::default();
    let access = access.unwrap_or(&none);
    let has_authorization = |headers: &BTreeMap<String, Secret>| headers.contains_key(AUTHORIZATION.as_str());
    let is_own = own.basic_auth.is_some() || has_authorization(&own.headers);
    if is_own {
        // These fail only for addresses without a host.
        let _ = (url.set_username(""), url.set_password(None));
    }
    let is_authenticated = is_own || !url.username().is_empty() || url.password().is_some();
    let mut headers = header_map(&access.headers)?;
    if is_authenticated {
        headers.remove(AUTHORIZATION);
    }
    headers.extend(header_map(&own.headers)?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    // The library authenticates as the user in the address.
    let request = client.get(url).headers(headers);
    Ok(match (&own.basic_auth, access) {
        (Some(BasicAuth { username, password }), _) => request.basic_auth(username, Some(password.reveal())),
        (None, _) if is_authenticated || has_authorization(&access.headers) => request,
        (None, SourceAccess { bearer_token_file: Some(file), .. }) => request.bearer_auth(read(file).await?),
        (None, SourceAccess { username: Some(username), password_file, .. }) => {
            let password = match password_file {
                Some(file) => Some(read(file).await?),
                None => None,
            };
            request.basic_auth(username, password)
        }
        (None, _) => request,
    })
}

fn header_map(headers: &BTreeMap<String, Secret>) -> Result<HeaderMap, NetError> {
    let header = |(name, value): (&String, &Secret)| {
        // The error must not repeat the value.
        let invalid = || NetError::Failed(format!("the header `{}` cannot be sent", name.escape_debug()));
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok((name.parse::<HeaderName>().map_err(|_| invalid())?, value))
    };
    headers.iter().map(header).collect()
}

/// The secret in a file, without the line break at its end.
async fn read(file: &Path) -> Result<String, NetError> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| NetError::Failed(format!("cannot read `{}`: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

/// The decompressed body; `None` if it is longer than allowed.
fn decompressed(body: &[u8], longest: u64) -> Result<Option<Vec<u8>>, NetError> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body).take(longest.saturating_add(1)).read_to_end(&mut plain);
    read.map_err(|error| NetError::Failed(format!("the response cannot be decompressed: {error}")))?;
    Ok((plain.len() as u64 <= longest).then_some(plain))
}

#[cfg(test)]
mod tests;
