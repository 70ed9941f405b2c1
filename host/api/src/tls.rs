//! TLS for accepted connections. The handshake is a part of a connection's first read, so it is within the limits on
//! connections and on the time for the head of a request.

use crate::stream::Stream;
use parking_lot::RwLock;
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

/// The first byte of a TLS connection: the type of a handshake record. No request of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;

/// Most bytes of a plain request that are read, so that its sender receives the answer before the connection ends.
const PLAIN_BYTES: usize = 64 << 10;

/// The answer to a plain request.
const PLAIN_ANSWER: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: 128\r\nconnection: close\r\n\r\n",
    r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"this port speaks HTTPS only; send the request to `https://`"}"#,
);

/// The certificate of a server. Only TLS 1.3 is spoken. Cheap to clone; all clones have the same certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    /// Whether a request without TLS gets an answer that says so.
    answers_plain: bool,
}

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
        Ok(Self { config: Arc::new(RwLock::new(Arc::new(config))), answers_plain: false })
    }

    /// The same, with an answer to requests without TLS that names the right scheme.
    #[must_use]
    pub fn answering_plain_requests(self) -> Self {
        Self { answers_plain: true, ..self }
    }

    /// Uses the certificate of another one for connections from now on.
    pub fn replace(&self, other: &Self) {
        let config = Arc::clone(&other.config.read());
        *self.config.write() = config;
    }

    /// The connection inside of TLS.
    pub(crate) fn accept(&self, stream: Stream) -> TlsConnection {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config.read()));
        if self.answers_plain {
            return TlsConnection(State::First(stream, acceptor));
        }
        TlsConnection(State::Handshake(Box::new(acceptor.accept(stream))))
    }
}

/// A connection whose handshake takes place when it is first read or written.
pub(crate) struct TlsConnection(State);

enum State {
    /// Nothing was read.
    First(Stream, TlsAcceptor),
    /// The other side does not speak TLS.
    Plain(Plain),
    Handshake(Box<Accept<Stream>>),
    Open(Box<TlsStream<Stream>>),
    Failed,
}

impl TlsConnection {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<Stream>>> {
        if let State::First(stream, _) = &mut self.0 {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            let first = buffer.filled().first().copied();
            if let (State::First(stream, acceptor), Some(first)) =
                (std::mem::replace(&mut self.0, State::Failed), first)
            {
                self.0 = if first == HANDSHAKE {
                    let stream: Stream = Box::new(Begun { first: Some(first), stream });
                    State::Handshake(Box::new(acceptor.accept(stream)))
                } else {
                    State::Plain(Plain { stream, written: 0, is_shut: false, read: 0 })
                };
            }
        }
        if let State::Plain(plain) = &mut self.0 {
            let ended = ready!(plain.poll_answer(cx));
            self.0 = State::Failed;
            ended?;
        }
        if let State::Handshake(handshake) = &mut self.0 {
            let ended = ready!(Pin::new(handshake.as_mut()).poll(cx));
            self.0 = State::Failed;
            self.0 = State::Open(Box::new(ended?));
        }
        Poll::Ready(match &mut self.0 {
            State::Open(stream) => Ok(stream.as_mut()),
            _ => Err(io::Error::from(io::ErrorKind::NotConnected)),
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
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// A connection of which the first byte was read.
struct Begun {
    first: Option<u8>,
    stream: Stream,
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection that receives [`PLAIN_ANSWER`]. The rest of its request is dropped, because a connection that is closed with
/// unread bytes is reset, and the answer with it. The time for the head of a request bounds it.
struct Plain {
    stream: Stream,
    written: usize,
    is_shut: bool,
    read: usize,
}

impl Plain {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = PLAIN_ANSWER.as_bytes().get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut bytes = [0; 4_096];
        while self.read < PLAIN_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                length => self.read += length,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_plain_request_states_its_length() {
        let (head, body) = PLAIN_ANSWER.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
