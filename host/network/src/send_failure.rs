//! Classifies why a request has no response, so that a caller can name the remedy.

use crate::client::ClientError;
use rustls::CertificateError;
use std::error::Error;
use std::io;
use windlass_core::error_chain;
use windlass_core::net::SendError;

impl From<ClientError> for SendError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::LongBody(longest) => Self::TooLong(longest),
            // The address may contain a secret.
            ClientError::Http(error) => of_http(&error.without_url()),
            ClientError::Denied { .. } | ClientError::LongHeaders => Self::Failed(error.to_string()),
        }
    }
}

fn of_http(error: &reqwest::Error) -> SendError {
    let why = error_chain(error);
    match chain(error).find_map(|cause| cause.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => SendError::UnknownAuthority(why),
        Some(rustls::Error::InvalidMessage(_)) => SendError::NotTls(why),
        Some(_) => SendError::Failed(why),
        None if error.is_connect() && (error.is_timeout() || chain(error).any(ends_handshake)) => {
            SendError::NotTls(why)
        }
        None => SendError::Failed(why),
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
