//! Limits that one peer address cannot use up for the others: connections, requests, and component uploads.

use axum::http::Extensions;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The other end of a connection. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// An IPv4 address, or the network of an IPv6 address.
    Address(IpAddr),
    /// The loopback of this machine.
    Loopback(IpAddr),
    /// A user of this machine by its number, on the Unix socket. `None` if the kernel does not say which.
    User(Option<u32>),
}

impl Peer {
    /// The peer with this address. A machine has 2^64 addresses of an IPv6 network, so all of them are one peer.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback(address),
            IpAddr::V6(address) => Self::Address(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()),
            address @ IpAddr::V4(_) => Self::Address(address),
        }
    }

    /// The peer of a request. Without a connection, as in tests, it is the unspecified address.
    pub(crate) fn among(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::Address(Ipv4Addr::UNSPECIFIED.into()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Self::Address(address) | Self::Loopback(address) => address.fmt(f),
            Self::User(Some(user)) => write!(f, "user {user} of the Unix socket"),
            Self::User(None) => f.write_str("the Unix socket"),
        }
    }
}

/// A number of operations that each peer may have in progress.
#[derive(Debug)]
pub(crate) struct PerPeer {
    most: usize,
    in_progress: Mutex<HashMap<Peer, usize>>,
}

/// Counts as one operation of a peer until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    peer: Peer,
    count: usize,
    limit: Arc<PerPeer>,
}

impl PerPeer {
    /// At most this many operations of each peer.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, in_progress: Mutex::default() })
    }

    /// Counts one more operation. `None` if the peer has the most already.
    pub(crate) fn begin(self: &Arc<Self>, peer: Peer) -> Option<Counted> {
        self.begin_some(peer, 1)
    }

    /// Counts some more operations, at least one. `None` if they would be more than the most.
    pub(crate) fn begin_some(self: &Arc<Self>, peer: Peer, count: usize) -> Option<Counted> {
        let mut in_progress = self.in_progress.lock();
        let before = in_progress.get(&peer).copied().unwrap_or_default();
        let after = before.checked_add(count).filter(|after| *after <= self.most)?;
        in_progress.insert(peer, after);
        Some(Counted { peer, count, limit: Arc::clone(self) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut in_progress = self.limit.in_progress.lock();
        if let Some(count) = in_progress.get_mut(&self.peer) {
            *count -= self.count;
            if *count == 0 {
                in_progress.remove(&self.peer);
            }
        }
    }
}

/// The place of a request among those that are served at once. An extension of every request.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    all: Arc<Semaphore>,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Slot {
    /// A slot, if one is free.
    pub(crate) fn take(all: &Arc<Semaphore>) -> Option<Self> {
        let permit = Arc::clone(all).try_acquire_owned().ok()?;
        Some(Self { all: Arc::clone(all), permit: Arc::new(Mutex::new(Some(permit))) })
    }

    /// Waits for a caller, and frees the slot meanwhile: the others must not wait for a slow caller.
    pub(crate) async fn free_during<T>(&self, arrival: impl Future<Output = T>) -> T {
        let mut arrival = pin!(arrival);
        // A body that has arrived with its head needs no wait.
        let at_once = std::future::poll_fn(|context| Poll::Ready(arrival.as_mut().poll(context))).await;
        if let Poll::Ready(arrived) = at_once {
            return arrived;
        }
        drop(self.permit.lock().take());
        let arrived = arrival.await;
        let permit = Arc::clone(&self.all).acquire_owned().await.expect("the semaphore is never closed");
        *self.permit.lock() = Some(permit);
        arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_peer_has_its_own_count() {
        let limit = PerPeer::new(2);
        let peer = |text: &str| Peer::of(text.parse().expect("an address"));
        let held = [limit.begin(peer("10.0.0.1")), limit.begin(peer("10.0.0.1"))];
        assert!(held.iter().all(Option::is_some) && limit.begin(peer("::ffff:10.0.0.1")).is_none());
        let other = limit.begin(peer("10.0.0.2"));
        assert!(other.is_some());
        drop(held);
        assert!(limit.begin(peer("10.0.0.1")).is_some());
        drop(other);
        assert!(limit.in_progress.lock().is_empty(), "peers without operations are forgotten");
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let peer = |text: &str| Peer::of(text.parse().expect("an address"));
        assert_eq!(peer("fd00::1"), peer("fd00::ffff:1"));
        assert_ne!(peer("fd00::1"), peer("fd00:0:0:1::1"));
        assert_ne!(peer("127.0.0.1"), peer("127.0.0.2"));
    }

    #[tokio::test]
    async fn a_slot_is_free_while_its_caller_is_slow() {
        let all = Arc::new(Semaphore::new(1));
        let slot = Slot::take(&all).expect("a slot");
        assert!(Slot::take(&all).is_none());
        assert_eq!(slot.free_during(async { all.available_permits() }).await, 0, "a body that is there");
        let slow = async {
            tokio::task::yield_now().await;
            Slot::take(&all).is_some()
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), slot.free_during(slow)).await;
        assert_eq!(in_time, Ok(true));
        assert!(Slot::take(&all).is_none(), "it is taken again");
        drop(slot);
        assert!(Slot::take(&all).is_some());
    }
}
