//! The target of a request: scheme, host and port.

use std::fmt;
use std::str::FromStr;

/// `http://host[:port]` or `https://host[:port]`; the default ports are 80 and 443.
///
/// Two origins are equal if scheme, host (ignoring case) and port are equal. Host names are compared without resolving
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_secure: bool,
    /// Lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// Creates an origin from its parts. `host` may be an IPv6 address in brackets.
    ///
    /// # Errors
    /// If the scheme is not `http` or `https`, or the host is invalid.
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Result<Self, InvalidOrigin> {
        let is_secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidOrigin),
        };
        let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match is_address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
                (1..=253).contains(&host.len()) && host.bytes().all(plain)
            }
        };
        if !is_host {
            return Err(InvalidOrigin);
        }
        let port = port.unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self { is_secure, host: host.to_ascii_lowercase(), port })
    }

    /// Whether the scheme is `https`.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        // The colons inside an IPv6 address do not start a port.
        let port_at = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let (host, port) = match port_at {
            Some(colon) => (&authority[..colon], Some(authority[colon + 1..].parse().map_err(|_| InvalidOrigin)?)),
            None => (authority, None),
        };
        Self::new(scheme, host, port)
    }
}

/// Always with the port, so that a grant is shown in full.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// The text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `https://host` or `http://host:port`, without a path")]
pub struct InvalidOrigin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        let normalized = |text: &str| text.parse::<Origin>().map(|origin| origin.to_string());
        assert_eq!(normalized("https://Metrics.example.org").unwrap(), "https://metrics.example.org:443");
        assert_eq!(normalized("http://127.0.0.1").unwrap(), "http://127.0.0.1:80");
        assert_eq!(normalized("http://[::1]:9090").unwrap(), "http://[::1]:9090");
        assert_eq!(normalized("https://[::1]").unwrap(), "https://[::1]:443");
        for wrong in [
            "",
            "example.org",
            "ftp://a",
            "http://",
            "http://a/",
            "http://a/b",
            "http://a:",
            "http://a:70000",
            "http://user@a",
            "http://a b",
            "http://*",
            "http://[::1",
            "http://[a]",
            "http://a:1:2",
        ] {
            assert_eq!(normalized(wrong), Err(InvalidOrigin), "{wrong}");
        }
    }
}
