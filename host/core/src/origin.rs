//! Where a request goes: scheme, host and port.

use std::fmt;
use std::str::FromStr;

/// `http://host[:port]` or `https://host[:port]`; without a port that of the scheme, 80 or 443. Two are the same if
/// all three are, the host without regard to case. A name is not looked up to compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_secure: bool,
    /// Lower case; an IPv6 address between brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// From its parts, as an address has them: `host` may be an IPv6 address between brackets.
    ///
    /// # Errors
    /// What would be right.
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
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, place) = text.split_once("://").ok_or(InvalidOrigin)?;
        // The colons of an IPv6 address are not that of a port.
        let port_at = place.rfind(':').filter(|colon| !place[*colon..].contains(']'));
        let (host, port) = match port_at {
            Some(colon) => (&place[..colon], Some(place[colon + 1..].parse().map_err(|_| InvalidOrigin)?)),
            None => (place, None),
        };
        Self::new(scheme, host, port)
    }
}

/// Always with the port: what is granted can be seen.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A text that names no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `https://host` or `http://host:port`, without a path")]
pub struct InvalidOrigin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        let shown = |text: &str| text.parse::<Origin>().map(|origin| origin.to_string());
        assert_eq!(shown("https://Metrics.example.org").unwrap(), "https://metrics.example.org:443");
        assert_eq!(shown("http://127.0.0.1").unwrap(), "http://127.0.0.1:80");
        assert_eq!(shown("http://[::1]:9090").unwrap(), "http://[::1]:9090");
        assert_eq!(shown("https://[::1]").unwrap(), "https://[::1]:443");
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
            assert_eq!(shown(wrong), Err(InvalidOrigin), "{wrong}");
        }
    }
}
