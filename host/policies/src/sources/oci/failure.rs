//! Explains why a registry did not deliver: every cause, and the remedy for the usual ones.

use windlass_core::net::SendError;
use windlass_core::text::plain;

/// Bytes of an explanation; a registry may send a page.
const MAX_BYTES: usize = 1_024;

/// A failed request to a registry.
#[derive(Debug)]
pub(super) struct Failure {
    why: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The registry's certificate is from an authority that this machine does not know.
    UnknownAuthority,
    /// The server answered the TLS handshake with something else, or ended it.
    NotTls,
    Other,
}

impl Failure {
    /// Whether the server may speak plain HTTP.
    pub(super) fn may_be_plain(&self) -> bool {
        self.kind == Kind::NotTls
    }

    /// The causes and the remedy.
    pub(super) fn explained(self) -> String {
        let remedy = match self.kind {
            Kind::UnknownAuthority => {
                "; add the registry's certificate authority to the system's certificates, or name its file in the variable \
                 SSL_CERT_FILE"
            }
            Kind::NotTls => "; the registry must speak TLS, because plain HTTP is possible only on the loopback",
            Kind::Other => "",
        };
        self.why + remedy
    }

    /// Both attempts at a registry on the loopback.
    pub(super) fn after_tls(self, tls: &Self) -> String {
        format!("over TLS: {}; over plain HTTP: {}", tls.why, self.why)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let kind = match error {
            SendError::UnknownAuthority(_) => Kind::UnknownAuthority,
            SendError::NotTls(_) => Kind::NotTls,
            SendError::TooLong(_) | SendError::Failed(_) => Kind::Other,
        };
        Self { kind, ..Self::from(error.to_string()) }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        let why = plain(&why[..why.floor_char_boundary(MAX_BYTES)]);
        Self { why, kind: Kind::Other }
    }
}
