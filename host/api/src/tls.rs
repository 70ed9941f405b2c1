//! TLS for accepted connections. The handshake is a part of a connection's first read, so it is within the limits on
//! connections and on the time for the head of a request.

use crate::stream::Stream;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The certificate of a server. Only TLS 1.3 is spoken. Cheap to clone.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.write_str("Tls")
    }
}

impl Tls {
    /// A certificate, with those that signed it if it has any, and its private key, both in PEM.
    ///
    /// # Errors
    /// A sentence, if one of them cannot be read, or the key is not that of the certificate.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let certificates = certificates.map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if certificates.is_empty() {
            return Err("there is no certificate; expected PEM, `-----BEGIN CERTIFICATE-----`".to_owned());
        }
        // The error must not repeat a part of the key.
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "the private key cannot be read; expected PEM, `-----BEGIN PRIVATE KEY-----`".to_owned())?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(|error| error.to_string())?;
        let config = builder.with_no_client_auth().with_single_cert(certificates, key);
        let mut config = config.map_err(|error| format!("the certificate and the private key do not fit: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The connection inside of TLS.
    pub(crate) fn accept(&self, stream: Stream) -> TlsConnection {
        TlsConnection(State::Handshake(Box::new(self.0.accept(stream))))
    }
}

/// A connection whose handshake takes place when it is first read or written.
pub(crate) struct TlsConnection(State);

enum State {
    Handshake(Box<Accept<Stream>>),
    Open(Box<TlsStream<Stream>>),
    Failed,
}

impl TlsConnection {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<Stream>>> {
        if let State::Handshake(handshake) = &mut self.0 {
            let ended = ready!(Pin::new(handshake.as_mut()).poll(cx));
            self.0 = State::Failed;
            self.0 = State::Open(Box::new(ended?));
        }
        Poll::Ready(match &mut self.0 {
            State::Open(stream) => Ok(stream.as_mut()),
            State::Handshake(_) | State::Failed => Err(io::Error::from(io::ErrorKind::NotConnected)),
        })
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            // Nothing was written.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
