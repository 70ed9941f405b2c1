//! Explains why a registry did not deliver: every cause, and the remedy for the usual ones.

use oci_client::errors::OciDistributionError;
use rustls::CertificateError;
use std::error::Error;
use std::io;
use windlass_core::error_chain;
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

impl From<OciDistributionError> for Failure {
    fn from(error: OciDistributionError) -> Self {
        let timed_out =
            matches!(&error, OciDistributionError::RequestError(error) if error.is_connect() && error.is_timeout());
        let kind = match chain(&error).find_map(|cause| cause.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Kind::UnknownAuthority,
            Some(rustls::Error::InvalidMessage(_)) => Kind::NotTls,
            Some(_) => Kind::Other,
            None if timed_out || chain(&error).any(ends_handshake) => Kind::NotTls,
            None => Kind::Other,
        };
        Self { kind, ..Self::from(error_chain(&error)) }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        let why = plain(&why[..why.floor_char_boundary(MAX_BYTES)]);
        Self { why, kind: Kind::Other }
    }
}

/// An error and its causes. An I/O error does not name the error inside of it as its cause.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// Whether the other side closed the connection instead of a handshake.
fn ends_handshake(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}
