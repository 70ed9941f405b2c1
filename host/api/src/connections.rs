//! The open connections: how many each peer and all peers may have, and which one is closed to make room.
//!
//! A connection beyond a limit is not kept waiting, because `GET /health` might wait with it. The connection that has been
//! idle for the longest time is closed instead. If none is idle, the new one is a spare: only `GET /health` is served there.

use crate::limits::Peer;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// Most spare connections. The oldest of them is closed for a new one.
const SPARES: usize = 32;

/// Why a connection may be closed for another one, the first reason first, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Closable {
    stage: Stage,
    /// The number of changes before this one.
    since: u64,
    id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// No request: the head of the next one may have begun.
    Idle,
    /// The answer is known, and the rest of a rejected body is drained.
    Draining,
}

/// The open connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_of_peer: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    changes: u64,
    by_id: HashMap<u64, Entry>,
    by_peer: HashMap<Peer, OfPeer>,
    closable: BTreeSet<Closable>,
    /// The spare ones, in the order of their age.
    spares: BTreeMap<u64, Arc<Notify>>,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    closable: Option<Closable>,
    close: Arc<Notify>,
}

#[derive(Debug, Default)]
struct OfPeer {
    count: usize,
    closable: BTreeSet<Closable>,
}

/// One connection. An extension of every request on it. It counts until the last clone is dropped or it must close.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    is_spare: bool,
    close: Arc<Notify>,
    all: Arc<Connections>,
}

impl Connections {
    /// At most `most` connections, and `most_of_peer` of each peer.
    pub(crate) fn new(most: usize, most_of_peer: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_peer, open: Mutex::default() })
    }

    /// Counts a new connection, and makes room for it.
    pub(crate) fn add(self: &Arc<Self>, peer: Peer) -> Connection {
        let mut open = self.open.lock();
        let of_peer = open.by_peer.get(&peer);
        let closable = if of_peer.is_some_and(|of_peer| of_peer.count >= self.most_of_peer) {
            Some(of_peer.and_then(|of_peer| of_peer.closable.first().copied()))
        } else if open.by_id.len() >= self.most {
            Some(open.closable.first().copied())
        } else {
            None
        };
        if let Some(Some(Closable { id, .. })) = closable {
            open.close(id);
        }
        let id = open.change();
        let close = Arc::new(Notify::new());
        let is_spare = closable == Some(None);
        if is_spare {
            if open.spares.len() >= SPARES
                && let Some((_, oldest)) = open.spares.pop_first()
            {
                oldest.notify_one();
            }
            open.spares.insert(id, Arc::clone(&close));
        } else {
            open.by_peer.entry(peer).or_default().count += 1;
            open.by_id.insert(id, Entry { peer, closable: None, close: Arc::clone(&close) });
            open.set(id, Some(Stage::Idle));
        }
        Connection(Arc::new(Inner { id, is_spare, close, all: Arc::clone(self) }))
    }

    /// Closes the connection that is idle for the longest time, if one is.
    pub(crate) fn close_oldest_idle(&self) {
        let mut open = self.open.lock();
        if let Some(Closable { id, .. }) = open.closable.first().copied() {
            open.close(id);
        }
    }
}

impl Open {
    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Sets why a connection may be closed; `None` while it may not.
    fn set(&mut self, id: u64, stage: Option<Stage>) {
        let since = self.change();
        let Some(entry) = self.by_id.get_mut(&id) else { return };
        let before = entry.closable.take();
        entry.closable = stage.map(|stage| Closable { stage, since, id });
        let of_peer = self.by_peer.entry(entry.peer).or_default();
        if let Some(before) = before {
            self.closable.remove(&before);
            of_peer.closable.remove(&before);
        }
        self.closable.extend(entry.closable);
        of_peer.closable.extend(entry.closable);
    }

    fn close(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            tracing::debug!(peer = ?entry.peer, "closing the oldest idle connection to make room for a new one");
            entry.close.notify_one();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        self.set(id, None);
        let entry = self.by_id.remove(&id)?;
        if let Some(of_peer) = self.by_peer.get_mut(&entry.peer) {
            of_peer.count -= 1;
            if of_peer.count == 0 {
                self.by_peer.remove(&entry.peer);
            }
        }
        Some(entry)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        if self.is_spare {
            open.spares.remove(&self.id);
        } else {
            open.remove(self.id);
        }
    }
}

impl Connection {
    /// Whether only `GET /health` is served here.
    pub(crate) fn is_spare(&self) -> bool {
        self.0.is_spare
    }

    /// Returns when the connection must close for another one.
    pub(crate) async fn must_close(&self) {
        self.0.close.notified().await;
    }

    /// Does not count the connection any more: it has a stream, and the streams have a limit of their own.
    pub(crate) fn set_apart(&self) {
        self.0.all.open.lock().remove(self.0.id);
    }

    /// Keeps the connection from being closed for another one until the guard is dropped.
    fn serve(&self) -> Serving {
        self.set(None);
        Serving(self.clone())
    }

    /// Allows to close the connection for another one, after all idle ones, until the guard is dropped.
    pub(crate) fn drain(&self) -> Draining {
        self.set(Some(Stage::Draining));
        Draining(self.clone())
    }

    fn set(&self, stage: Option<Stage>) {
        self.0.all.open.lock().set(self.0.id, stage);
    }
}

/// A request is being served on a connection.
struct Serving(Connection);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.set(Some(Stage::Idle));
    }
}

/// The rest of a body is being drained.
pub(crate) struct Draining(Connection);

impl Drop for Draining {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Keeps the connection of a request until its answer was taken.
pub(crate) async fn keep(request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else { return next.run(request).await };
    let serving = connection.serve();
    next.run(request).await.map(|body| Body::new(Kept { body, _serving: serving }))
}

/// The body of an answer that keeps its connection.
struct Kept {
    body: Body,
    _serving: Serving,
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn peer(last: u8) -> Peer {
        Peer::of(std::net::IpAddr::from([10, 0, 0, last]))
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.must_close().now_or_never().is_some()
    }

    #[test]
    fn the_connection_that_is_idle_for_the_longest_time_goes_first() {
        let all = Connections::new(3, 3);
        let [first, second, third] = [1, 2, 3].map(|last| all.add(peer(last)));
        // The first one served a request meanwhile, and the second one still does.
        drop(first.serve());
        let serving = second.serve();
        let fourth = all.add(peer(4));
        assert_eq!([&first, &second, &third, &fourth].map(is_closed), [false, false, true, false]);
        let fifth = all.add(peer(5));
        assert_eq!([&first, &second, &fourth, &fifth].map(is_closed), [true, false, false, false]);
        drop((serving, first, second, third, fourth, fifth));
        let open = all.open.lock();
        assert!(open.by_id.is_empty() && open.by_peer.is_empty() && open.closable.is_empty(), "{open:?}");
    }

    #[test]
    fn a_peer_at_its_limit_loses_its_own_connections_only() {
        let all = Connections::new(10, 2);
        let other = all.add(peer(1));
        let [first, second] = [2, 2].map(|last| all.add(peer(last)));
        let third = all.add(peer(2));
        assert_eq!([&other, &first, &second, &third].map(is_closed), [false, true, false, false]);
    }

    #[test]
    fn connections_that_drain_a_body_go_after_the_idle_ones() {
        let all = Connections::new(2, 2);
        let [first, second] = [1, 2].map(|last| all.add(peer(last)));
        let serving = first.serve();
        let draining = first.drain();
        let third = all.add(peer(3));
        assert_eq!([&first, &second, &third].map(is_closed), [false, true, false]);
        let busy = third.serve();
        let fourth = all.add(peer(4));
        assert_eq!([&first, &third, &fourth].map(is_closed), [true, false, false]);
        drop((draining, serving, busy));
    }

    #[test]
    fn a_connection_with_a_stream_leaves_its_place_to_others() {
        let all = Connections::new(1, 1);
        let first = all.add(peer(1));
        let serving = first.serve();
        first.set_apart();
        let second = all.add(peer(1));
        assert!(!second.is_spare() && !is_closed(&first));
        drop((serving, first));
        let open = all.open.lock();
        assert_eq!((open.by_id.len(), open.by_peer.values().map(|of_peer| of_peer.count).sum::<usize>()), (1, 1));
    }

    #[test]
    fn without_an_idle_connection_a_new_one_is_spare() {
        let all = Connections::new(1, 1);
        let first = all.add(peer(1));
        let serving = first.serve();
        let spares: Vec<Connection> = (0..=SPARES).map(|_| all.add(peer(2))).collect();
        assert!(spares.iter().all(Connection::is_spare) && !first.is_spare() && !is_closed(&first));
        assert!(is_closed(&spares[0]) && !is_closed(&spares[1]), "the oldest spare one makes room");
        drop((serving, spares));
        assert!(all.open.lock().spares.is_empty());
        assert!(!all.add(peer(2)).is_spare() && is_closed(&first));
    }
}
