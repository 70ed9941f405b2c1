//! The limit on open streams. A stream lasts as long as its reader wants, so its connection does not count among those of
//! requests, and it takes nothing that other requests need.

use crate::connections::Connection;
use crate::error::Problem;
use crate::limits::{Counted, Peer, PerPeer};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue};
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Asks nginx to send each piece at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The open streams of one kind.
pub(crate) struct Streams {
    /// Their name in messages, and the setting of their number.
    name: &'static str,
    all: Arc<Semaphore>,
    of_peer: Arc<PerPeer>,
}

impl Streams {
    /// At most `most` streams, and `most_of_peer` to each peer.
    pub(crate) fn new(name: &'static str, most: usize, most_of_peer: usize) -> Self {
        let all = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { name, all, of_peer: PerPeer::new(most_of_peer) }
    }

    /// Opens a stream to a peer on a connection.
    ///
    /// # Errors
    /// 503 if too many are open.
    pub(crate) fn open(&self, peer: Peer, connection: Option<&Connection>) -> Result<OpenStream, Problem> {
        let name = self.name;
        let refused = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let of_peer = self.of_peer.begin(peer);
        let of_peer = of_peer.ok_or_else(|| refused(format!("too many {name} to this address are open; close one")))?;
        let of_all = Arc::clone(&self.all).try_acquire_owned();
        let of_all = of_all.map_err(|_| refused(format!("too many {name} are open; try again later")))?;
        if let Some(connection) = connection {
            connection.set_apart();
        }
        Ok(OpenStream { _of_peer: of_peer, _of_all: of_all })
    }
}

/// The permit of one stream, until it is dropped.
pub(crate) struct OpenStream {
    _of_peer: Counted,
    _of_all: OwnedSemaphorePermit,
}

/// The answer that is a stream: its connection serves no other request after it, because it is not counted any more.
pub(crate) fn unbuffered(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_peer_and_all_together_have_a_limit() {
        let streams = Streams::new("event streams", 3, 2);
        let to = |last: u8| {
            let opened = streams.open(Peer::of(IpAddr::from([10, 0, 0, last])), None);
            opened.map_err(|problem| (problem.status().as_u16(), problem.detail().to_owned()))
        };
        let mut open = vec![to(1).expect("a stream"), to(1).expect("a stream")];
        let refused = |last| to(last).map(drop).expect_err("refused");
        assert_eq!(refused(1), (503, "too many event streams to this address are open; close one".to_owned()));
        open.push(to(2).expect("a stream"));
        assert_eq!(refused(3), (503, "too many event streams are open; try again later".to_owned()));
        open.pop();
        assert!(to(3).is_ok(), "a stream that ended makes room");
    }
}
