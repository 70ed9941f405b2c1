//! Parses a registry's demand for a login: the header `WWW-Authenticate`.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeRef;

/// A demand for a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token of a server.
    Bearer {
        /// The address of the server.
        realm: String,
        /// The name of the registry at that server.
        service: Option<String>,
    },
}

/// The demand that a client can meet. A token is preferred to a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let parsed: Vec<Challenge> = values
        .filter_map(|value| http_auth::parse_challenges(value).ok())
        .flat_map(|challenges| challenges.iter().filter_map(one).collect::<Vec<_>>())
        .collect();
    let bearer = parsed.iter().find(|challenge| **challenge != Challenge::Basic);
    bearer.or(parsed.first()).cloned()
}

fn one(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if challenge.scheme.eq_ignore_ascii_case("Basic") {
        return Some(Challenge::Basic);
    }
    let parameter = |name: &str| {
        let found = challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let is_bearer = challenge.scheme.eq_ignore_ascii_case("Bearer");
    let realm = parameter("realm").filter(|_| is_bearer)?;
    Some(Challenge::Bearer { realm, service: parameter("service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Option<Challenge> {
        let headers = values.iter().map(|value| (WWW_AUTHENTICATE, http::HeaderValue::from_static(value)));
        challenge(&headers.collect())
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = |service: Option<&str>| {
            let realm = "https://auth.example/token".to_owned();
            Some(Challenge::Bearer { realm, service: service.map(str::to_owned) })
        };
        let with_service =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull""#;
        assert_eq!(of(&[with_service]), bearer(Some("registry.example")));
        assert_eq!(of(&[r#"Basic realm="a""#]), Some(Challenge::Basic));
        assert_eq!(of(&[r#"Basic realm="a""#, r#"bearer realm="https://auth.example/token""#]), bearer(None));
        for nothing in ["", "Bearer", r#"Bearer service="a""#, "Digest realm=a", "Bearer realm=\"a"] {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
    }
}
