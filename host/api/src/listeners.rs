//! Accepts connections on a TCP address, with TLS or without, on a Unix socket, or on both.

use crate::limits::Peer;
use crate::stream::Stream;
use crate::tls::Tls;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, UnixListener};

/// The sockets on which the API listens.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The TCP address.
    pub tcp: Option<TcpListener>,
    /// The certificate for the TCP address. `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// The Unix socket. Its callers need no token, because the permissions of its file say who may connect.
    pub unix: Option<UnixListener>,
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self { tcp: Some(listener), ..Self::default() }
    }
}

impl From<UnixListener> for Listeners {
    fn from(listener: UnixListener) -> Self {
        Self { unix: Some(listener), ..Self::default() }
    }
}

impl Listeners {
    /// The TCP address in use. `None` if there is none.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.tcp.as_ref().map(TcpListener::local_addr).transpose()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tcp.is_none() && self.unix.is_none()
    }

    /// The next connection.
    ///
    /// # Errors
    /// None can be accepted now, for example because no file descriptor is free.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        tokio::select! {
            accepted = accept_tcp(self.tcp.as_ref(), self.tls.as_ref()) => accepted,
            accepted = accept_unix(self.unix.as_ref()) => accepted,
        }
    }
}

async fn accept_tcp(listener: Option<&TcpListener>, tls: Option<&Tls>) -> io::Result<(Stream, Peer)> {
    let Some(listener) = listener else { return std::future::pending().await };
    let (stream, address) = listener.accept().await?;
    // Answers are small and sent at once; waiting for a full packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let plain: Stream = Box::new(stream);
    let stream: Stream = match tls {
        Some(tls) => Box::new(tls.accept(plain)),
        None => plain,
    };
    Ok((stream, Peer::of(address.ip())))
}

async fn accept_unix(listener: Option<&UnixListener>) -> io::Result<(Stream, Peer)> {
    let Some(listener) = listener else { return std::future::pending().await };
    let (stream, _) = listener.accept().await?;
    let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
    Ok((Box::new(stream), Peer::User(user)))
}
