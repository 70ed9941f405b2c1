//! A target of the HTTP requests that a policy was granted: a host, methods and path prefixes.

use crate::Origin;
use crate::origin::InvalidOrigin;
use std::fmt;
use std::str::FromStr;

/// A host to which a policy may send requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedTarget {
    /// The scheme, host and port.
    pub host: Origin,
    /// The allowed methods. Empty: every method.
    pub methods: Vec<String>,
    /// The prefixes of the allowed paths, at the boundary of a segment. Empty: every path.
    pub paths: Vec<String>,
}

impl GrantedTarget {
    /// Whether the text can be a method: 1 to 20 upper-case letters.
    pub fn is_method(text: &str) -> bool {
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
    }

    /// Whether the text can be the prefix of a path: it starts with `/`, and every server reads it in the same way.
    pub fn is_path(text: &str) -> bool {
        let has_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        text.starts_with('/') && has_visible && is_unambiguous(text)
    }

    /// Whether a request is allowed. `path` has no query.
    pub fn admits(&self, host: &Origin, method: &str, path: &str) -> bool {
        let is_below = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
        };
        self.host == *host
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
            && (self.paths.is_empty() || (is_unambiguous(path) && self.paths.iter().any(is_below)))
    }
}

/// Whether a path has no segment that a client, a proxy or a server could read as the way to another path.
fn is_unambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_encoded = ["%2e", "%2f", "%5c", "\\"].iter().any(|part| lower.contains(part));
    let mut segments = path.split('/').skip(1).peekable();
    let mut is_plain = true;
    while let Some(segment) = segments.next() {
        // Some servers ignore the part after a semicolon.
        let name = segment.split(';').next().unwrap_or_default();
        let is_last = segments.peek().is_none();
        is_plain &= !matches!(name, "." | "..") && (is_last || !segment.is_empty());
    }
    is_plain && !is_encoded
}

impl From<Origin> for GrantedTarget {
    fn from(host: Origin) -> Self {
        Self { host, methods: Vec::new(), paths: Vec::new() }
    }
}

/// A host with every method and path.
impl FromStr for GrantedTarget {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        text.parse().map(Origin::into)
    }
}

/// `GET, HEAD https://host:443 below /api/, /v1/`; only the host if every method and path is allowed.
impl fmt::Display for GrantedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(", "))?;
        }
        write!(f, "{}", self.host)?;
        if !self.paths.is_empty() {
            write!(f, " below {}", self.paths.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(methods: &[&str], paths: &[&str]) -> GrantedTarget {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let host = "https://a.example".parse().expect("an origin");
        GrantedTarget { host, methods: texts(methods), paths: texts(paths) }
    }

    #[test]
    fn a_rule_admits_its_methods_and_paths_and_nothing_else() {
        let host: Origin = "https://a.example".parse().expect("an origin");
        let rule = target(&["GET"], &["/api/", "/v1"]);
        for path in ["/api/", "/api/x", "/api/x/y.json", "/v1", "/v1/x", "/api/x/"] {
            assert!(rule.admits(&host, "GET", path), "{path}");
        }
        for path in [
            "/",
            "/api",
            "/apix",
            "/v10",
            "/api/../admin",
            "/api/%2E%2e/admin",
            "/api/..%2fadmin",
            "/api/..;/admin",
            "/api/.;x/a",
            "/api/\\..\\admin",
            "/api//admin",
            "/API/x",
            "",
        ] {
            assert!(!rule.admits(&host, "GET", path), "{path}");
        }
        assert!(!rule.admits(&host, "POST", "/api/") && !rule.admits(&host, "get", "/api/"));
        assert!(!rule.admits(&"http://a.example".parse().expect("an origin"), "GET", "/api/"));
        assert!(target(&[], &[]).admits(&host, "DELETE", "/any/../path"), "a plain host admits everything");
        assert_eq!(rule.to_string(), "GET https://a.example:443 below /api/, /v1");
    }

    #[test]
    fn a_prefix_is_a_plain_path() {
        for (path, expected) in
            [("/", true), ("/a/b", true), ("a", false), ("/a?b", false), ("/a/../b", false), ("/ä", false)]
        {
            assert_eq!(GrantedTarget::is_path(path), expected, "{path}");
        }
        assert!(GrantedTarget::is_method("GET") && !GrantedTarget::is_method("get") && !GrantedTarget::is_method(""));
    }
}
