//! The settings of the API server, and the callers that they let in.

use crate::Listen;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The rights of callers on the loopback that send no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalAccess {
    /// Every request.
    Full,
    /// Requests that change nothing.
    ReadOnly,
    /// Only what is public, such as `GET /health`.
    Off,
}

/// The files of the TLS certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those that signed it if it has any, in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Settings of the API server.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The address and the Unix socket that the server listens on. Default `127.0.0.1:8000`.
    pub listen: Listen,
    /// The group of the Unix socket, by name or number. `None` for the group of the process.
    pub socket_group: Option<String>,
    /// The token that callers must send. `None` if anyone may call. Callers of the Unix socket need none.
    pub token: Option<String>,
    /// The rights of callers on the loopback without a token. `None` for [`Self::local_access`]'s default.
    pub local: Option<LocalAccess>,
    /// The certificate of the address: only HTTPS is spoken there. `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Size of a request's body in bytes. Default 1 MiB.
    pub body_bytes: usize,
    /// Size of an uploaded component in bytes, equal to `policy.component_bytes`. Default 40 MiB.
    pub upload_bytes: usize,
    /// Time limit for receiving the headers of a request. Default 10 s.
    pub header_timeout: Duration,
    /// Time in which a caller must take 64 KiB of an answer, or the rest of it. Default 30 s.
    pub write_timeout: Duration,
    /// Requests served at once, without those whose body is still arriving; more are answered with 503. Default 256.
    pub concurrent_requests: usize,
    /// Requests of one peer address in progress, with those whose body is still arriving; more are answered with 503.
    /// Default 128.
    pub requests_per_peer: usize,
    /// Connections open at once. A further one closes the one that is idle for the longest time; if none is idle, only its
    /// `GET /health` is served. Default 1 024.
    pub connections: usize,
    /// Connections of one peer address open at once; a further one closes an idle one of the same peer. Default 512.
    pub connections_per_peer: usize,
    /// Event streams open at once; a further one is answered with 503. Their connections do not count among
    /// [`Self::connections`]. Default 1 024.
    pub streams: usize,
    /// Event streams to one peer address open at once; a further one is answered with 503. Default 512.
    pub streams_per_peer: usize,
    /// Time that requests in progress have to end at shutdown. Default 30 s.
    pub shutdown_grace: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)).into(),
            socket_group: None,
            token: None,
            local: None,
            tls: None,
            body_bytes: 1 << 20,
            upload_bytes: 40 << 20,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            concurrent_requests: 256,
            requests_per_peer: 128,
            connections: 1_024,
            connections_per_peer: 512,
            streams: 1_024,
            streams_per_peer: 512,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

impl ApiSettings {
    /// The rights of callers on the loopback that send no token. Default: full if there is no token, else off.
    pub fn local_access(&self) -> LocalAccess {
        let default = if self.token.is_some() { LocalAccess::Off } else { LocalAccess::Full };
        self.local.unwrap_or(default)
    }

    /// Whether every caller of the TCP address needs the token to change something.
    pub fn needs_token(&self) -> bool {
        let is_closed = self.token.is_some() || self.listen.is_local();
        self.listen.tcp.is_none() || (is_closed && self.local_access() != LocalAccess::Full)
    }

    /// The people and programs that can change everything, one text for each way.
    pub fn administrators(&self) -> Vec<String> {
        let mut administrators = Vec::new();
        if let Some(address) = self.listen.tcp {
            if self.token.is_none() && !self.listen.is_local() {
                administrators.push(format!("anyone who can connect to {address}, without a token"));
            } else if self.local_access() == LocalAccess::Full {
                administrators.push(format!(
                    "anyone on this machine and every container on the host network, through {address} without a token"
                ));
            }
            if self.token.is_some() {
                administrators.push(format!("anyone who sends the token to {address}"));
            }
        }
        if let Some(path) = &self.listen.socket {
            let group =
                self.socket_group.as_ref().map_or("its group".to_owned(), |group| format!("the group `{group}`"));
            administrators.push(format!("root, the owner of the Unix socket {} and {group}", path.display()));
        }
        administrators
    }
}

impl std::fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("ApiSettings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_are_those_that_the_settings_let_in() {
        let of = |listen: &str, token: Option<&str>, local: Option<LocalAccess>| {
            let listen = listen.parse().expect("a place");
            let settings = ApiSettings { listen, token: token.map(str::to_owned), local, ..ApiSettings::default() };
            (settings.needs_token(), settings.administrators().join("; "))
        };
        let anyone =
            "anyone on this machine and every container on the host network, through 127.0.0.1:80 without a token";
        assert_eq!(of("127.0.0.1:80", None, None), (false, anyone.to_owned()));
        let (needs_token, text) = of("127.0.0.1:80,unix:/run/a", None, Some(LocalAccess::ReadOnly));
        assert_eq!((needs_token, text.as_str()), (true, "root, the owner of the Unix socket /run/a and its group"));
        assert_eq!(
            of("127.0.0.1:80", Some("x"), None),
            (true, "anyone who sends the token to 127.0.0.1:80".to_owned())
        );
        let (needs_token, text) = of("127.0.0.1:80", Some("x"), Some(LocalAccess::Full));
        assert!(
            !needs_token && text.starts_with(anyone) && text.ends_with("anyone who sends the token to 127.0.0.1:80")
        );
        assert_eq!(
            of("0.0.0.0:80", None, None),
            (false, "anyone who can connect to 0.0.0.0:80, without a token".to_owned())
        );
    }
}
