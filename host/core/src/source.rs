//! The HTTP source of a metric: its address and the credentials of its requests. Both may contain secrets.

use crate::{Origin, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Parts of the name of a query parameter whose value is a secret.
const SECRET_PARAMETERS: [&str; 8] = ["token", "key", "secret", "passw", "pwd", "auth", "signature", "credential"];

/// The address of a metric's source. `Debug` prints it without secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// An address.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The address with its secrets, for the request.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The address with a mask in place of the password and of query parameters such as `token` and `api_key`.
    pub fn masked(&self) -> String {
        let mut masked = self.0.clone();
        for range in self.secrets().into_iter().rev() {
            masked.replace_range(range, Secret::MASK);
        }
        masked
    }

    /// Scheme, host and port, without user and password.
    pub fn origin(&self) -> String {
        let (scheme, authority) = self.authority();
        let host = authority.end - self.0[authority.clone()].rsplit('@').next().unwrap_or_default().len();
        format!("{scheme}{}", &self.0[host..authority.end])
    }

    /// The scheme with `://`, and the range of the authority.
    fn authority(&self) -> (&str, Range<usize>) {
        let begin = self.0.find("://").map_or(0, |colon| colon + 3);
        let length = self.0[begin..].find(['/', '?', '#']).unwrap_or(self.0.len() - begin);
        (&self.0[..begin], begin..begin + length)
    }

    /// The ranges of the secrets, by position.
    fn secrets(&self) -> Vec<Range<usize>> {
        let mut secrets = Vec::new();
        let (_, authority) = self.authority();
        if let Some(at) = self.0[authority.clone()].rfind('@') {
            let user = &self.0[authority.start..authority.start + at];
            // A user without a password may be a token.
            let password = user.find(':').map_or(0, |colon| colon + 1);
            secrets.push(authority.start + password..authority.start + at);
        }
        let end = self.0.find('#').unwrap_or(self.0.len());
        let mut begin = self.0[..end].find('?').map_or(end, |mark| mark + 1);
        for parameter in self.0[begin..end].split('&') {
            if let Some((name, value)) = parameter.split_once('=') {
                let name = name.to_ascii_lowercase();
                if SECRET_PARAMETERS.iter().any(|part| name.contains(part)) {
                    secrets.push(begin + parameter.len() - value.len()..begin + parameter.len());
                }
            }
            begin += parameter.len() + 1;
        }
        secrets
    }

    fn has_mask(&self) -> bool {
        self.secrets().into_iter().any(|range| self.0[range] == *Secret::MASK)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// The credentials that the definition of a metric contains.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// Headers of each request, by lower-case name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// The user. `None` if the headers, the address or the configuration authenticate the request, or nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
}

impl Credentials {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.headers.is_empty() && self.basic_auth.is_none()
    }
}

/// Replaces each mask in an address and its credentials by the secret that is stored. A secret is only kept for the origin
/// that it was given for.
///
/// # Errors
/// The fields whose mask stands for nothing, as JSON pointers within the source.
pub fn keep_secrets(
    (url, credentials): (&mut SourceUrl, &mut Credentials),
    stored: Option<(&SourceUrl, &Credentials)>,
) -> Result<(), Vec<String>> {
    let mut missing = Vec::new();
    if url.has_mask() {
        match stored.filter(|(stored, _)| stored.masked() == url.0) {
            Some((stored, _)) => url.clone_from(stored),
            None => missing.push("/url".to_owned()),
        }
    }
    let stored = stored.filter(|(stored, _)| stored.origin() == url.origin()).map(|(_, credentials)| credentials);
    for (name, value) in credentials.headers.iter_mut().filter(|(_, value)| value.is_mask()) {
        match stored.and_then(|stored| stored.headers.get(name)) {
            Some(stored) => value.clone_from(stored),
            None => missing.push(format!("/headers/{name}")),
        }
    }
    if let Some(user) = credentials.basic_auth.as_mut().filter(|user| user.password.is_mask()) {
        let stored = stored.and_then(|stored| stored.basic_auth.as_ref());
        match stored.filter(|stored| stored.username == user.username) {
            Some(stored) => user.password.clone_from(&stored.password),
            None => missing.push("/basic_auth/password".to_owned()),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

/// Access to the metric sources of some hosts, which an operator configures. It applies to requests that the metric's own
/// definition does not authenticate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceAccess {
    /// The hosts.
    pub hosts: Vec<Origin>,
    /// Headers of each request, by lower-case name.
    pub headers: BTreeMap<String, Secret>,
    /// The user of basic authentication. `None` for none.
    pub username: Option<String>,
    /// The file with the password. It is read for each request, so the password can be replaced.
    pub password_file: Option<PathBuf>,
    /// The file with the bearer token. It is read for each request, so the token can be replaced.
    pub bearer_token_file: Option<PathBuf>,
    /// The file with the certificates (PEM) of the hosts' own authority, in addition to those of the system. It is read at the
    /// start.
    pub ca_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_an_address_are_masked_and_the_rest_is_not() {
        for (url, masked) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("https://ops:s3cret@host:9090/prom?x=1", "https://ops:***@host:9090/prom?x=1"),
            ("https://s3cret@host", "https://***@host"),
            ("https://a:p@ss@host/a@b", "https://a:***@host/a@b"),
            (
                "https://host/q?team=a&api_key=s3cret&X-Token=b&n=2#f",
                "https://host/q?team=a&api_key=***&X-Token=***&n=2#f",
            ),
            ("https://host?token=", "https://host?token=***"),
            ("https://host/token=a?flag", "https://host/token=a?flag"),
        ] {
            let parsed = SourceUrl::new(url);
            assert_eq!((parsed.masked().as_str(), format!("{parsed:?}").as_str()), (masked, masked));
            assert!(parsed.has_mask() || parsed.masked() == url || !url.contains(Secret::MASK));
        }
        assert_eq!(SourceUrl::new("https://ops:s3cret@host:1/a?token=b").origin(), "https://host:1");
    }

    #[test]
    fn a_mask_stands_for_the_stored_secret_of_the_same_origin_only() {
        let given = |url: &str, header: &str, password: &str| {
            let headers = [("authorization".to_owned(), Secret::new(header))].into();
            let basic_auth = Some(BasicAuth { username: "ops".to_owned(), password: Secret::new(password) });
            (SourceUrl::new(url), Credentials { headers, basic_auth })
        };
        let stored = given("https://u:pw@host/a?key=k", "Bearer t", "p");
        let kept = |url: &str| {
            let (mut url, mut credentials) = given(url, Secret::MASK, Secret::MASK);
            keep_secrets((&mut url, &mut credentials), Some((&stored.0, &stored.1))).map(|()| (url, credentials))
        };
        assert_eq!(kept("https://u:***@host/a?key=***"), Ok(stored.clone()));
        // Another path of the same host keeps the credentials, but not the secrets in the address.
        let other_path = kept("https://host/b").map(|(url, credentials)| (url.reveal().to_owned(), credentials));
        assert_eq!(other_path, Ok(("https://host/b".to_owned(), stored.1.clone())));
        let none = Err(vec!["/headers/authorization".to_owned(), "/basic_auth/password".to_owned()]);
        assert_eq!(kept("https://elsewhere/a").map(drop), none);
        assert_eq!(kept("https://u:***@host/b").map(drop), Err(vec!["/url".to_owned()]));
        let (mut url, mut credentials) = given("https://host", Secret::MASK, "new");
        let alone = keep_secrets((&mut url, &mut credentials), None);
        assert_eq!(alone, Err(vec!["/headers/authorization".to_owned()]));
        assert!(!format!("{stored:?}").contains("Bearer"), "{stored:?}");
    }
}
