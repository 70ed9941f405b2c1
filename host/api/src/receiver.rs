//! The receiver of a stream, an argument of its handler.

use crate::access::{Access, Caller};
use crate::connections::Connection;
use crate::error::Problem;
use crate::limits::Peer;
use crate::operation::{Description, Part};
use crate::streams::{OpenStream, Streams};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// The other end of a request's connection.
pub(crate) struct Receiver {
    peer: Peer,
    /// `None` without a server, as in tests.
    connection: Option<Connection>,
    /// `None` without a guard, as in tests.
    caller: Option<Caller>,
}

impl Receiver {
    /// The peer of its connection.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Waits until it has no rights any more, because its token or its session has ended.
    pub(crate) fn ended(&self, access: &Arc<Access>) -> impl Future<Output = ()> + Send + use<> {
        let (access, caller) = (Arc::clone(access), self.caller.clone());
        async move {
            match caller {
                Some(caller) => access.ended(caller).await,
                None => std::future::pending().await,
            }
        }
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
        let extensions = &parts.extensions;
        let (connection, caller) = (extensions.get().cloned(), extensions.get().cloned());
        Ok(Self { peer: Peer::among(extensions), connection, caller })
    }
}

impl Part for Receiver {
    fn describe(_: &mut Description) {}
}
