//! The receiver of a stream, an argument of its handler.

use crate::connections::Connection;
use crate::error::Problem;
use crate::limits::Peer;
use crate::operation::{Description, Part};
use crate::streams::{OpenStream, Streams};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// The other end of a request's connection.
pub(crate) struct Receiver {
    peer: Peer,
    /// `None` without a server, as in tests.
    connection: Option<Connection>,
}

impl Receiver {
    /// The peer of its connection.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Opens a stream to it.
    ///
    /// # Errors
    /// 503 if too many are open.
    pub(crate) fn open(&self, streams: &Streams) -> Result<OpenStream, Problem> {
        streams.open(self.peer, self.connection.as_ref())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Receiver {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { peer: Peer::among(&parts.extensions), connection: parts.extensions.get().cloned() })
    }
}

impl Part for Receiver {
    fn describe(_: &mut Description) {}
}
