//! The places that the API listens on: a TCP address, a Unix socket, or both.

use crate::Invalid;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The prefix of a socket's path.
const UNIX: &str = "unix:";

/// The most bytes of a socket's path: Linux has room for 108, the last of which is a NUL.
const LONGEST_PATH: usize = 107;

/// The places that the API listens on; at least one. In text: `127.0.0.1:8000`, `unix:/run/windlass.sock`, or both with a
/// comma between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The TCP address. `None` if only the socket is listened on.
    pub tcp: Option<SocketAddr>,
    /// The absolute path of the Unix socket. `None` if there is none.
    pub socket: Option<PathBuf>,
}

impl Listen {
    /// Whether the TCP address can be reached from this machine only. True if there is none.
    pub fn is_local(&self) -> bool {
        self.tcp.is_none_or(|address| address.ip().is_loopback())
    }

    /// The places in text, one each.
    pub fn places(&self) -> Vec<String> {
        let tcp = self.tcp.map(|address| address.to_string());
        tcp.into_iter().chain(self.socket.as_deref().map(socket_text)).collect()
    }

    /// Combines places, one text each.
    ///
    /// # Errors
    /// If there is none, if a text is no place, or if there are two of a kind.
    pub fn of_places<'a>(places: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let mut listen = Self { tcp: None, socket: None };
        for place in places {
            let is_second = if let Some(path) = socket_path(place)? {
                listen.socket.replace(path).is_some()
            } else {
                let address = place.parse().map_err(|_| expected())?;
                listen.tcp.replace(address).is_some()
            };
            if is_second {
                return Err(Invalid::new("expected at most one address and one Unix socket"));
            }
        }
        if listen.tcp.is_none() && listen.socket.is_none() { Err(expected()) } else { Ok(listen) }
    }
}

/// The path in `unix:/path` or `unix:///path`. `None` if the text does not begin with `unix:`.
///
/// # Errors
/// If the path is relative or too long.
pub fn socket_path(place: &str) -> Result<Option<PathBuf>, Invalid> {
    let Some(path) = place.strip_prefix(UNIX) else { return Ok(None) };
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(Invalid::new("the path of a Unix socket is absolute: `unix:/run/windlass/windlass.sock`"));
    }
    if path.len() > LONGEST_PATH {
        return Err(Invalid::new(format!("the path of a Unix socket has at most {LONGEST_PATH} bytes")));
    }
    Ok(Some(path.into()))
}

/// The text of a socket's path.
pub fn socket_text(path: &Path) -> String {
    format!("{UNIX}{}", path.display())
}

fn expected() -> Invalid {
    Invalid::new(
        "expected an address and a port such as `127.0.0.1:8000`, or a Unix socket such as `unix:/run/windlass.sock`",
    )
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { tcp: Some(address), socket: None }
    }
}

impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::of_places(text.split(',').map(str::trim))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.places().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_socket_or_both_are_read_as_they_are_shown() {
        for text in ["127.0.0.1:8000", "unix:/run/windlass.sock", "[::1]:9000,unix:/run/windlass.sock"] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(text.to_owned()));
        }
        let both: Listen = "unix:///run/a , 0.0.0.0:80".parse().expect("both");
        assert_eq!((both.to_string().as_str(), both.is_local()), ("0.0.0.0:80,unix:/run/a", false));
        assert!("unix:/run/a".parse::<Listen>().is_ok_and(|listen| listen.is_local()));
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("unix:/{}", "a".repeat(107));
        for text in [
            "",
            "8000",
            "localhost:8000",
            "unix:",
            "unix:a",
            "unix:/a/",
            &long,
            "127.0.0.1:1,127.0.0.1:2",
            "unix:/a,unix:/b",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text:?}");
        }
    }
}
