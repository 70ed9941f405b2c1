//! The limit on failed log-ins of an address.

use crate::limits::Peer;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use windlass_core::Timestamp;

/// Failures of an address within [`WINDOW`] after which further attempts are refused.
const MOST_FAILURES: u32 = 10;

/// Time from the first failure after which an address begins anew.
const WINDOW: Duration = Duration::from_secs(300);

/// Addresses that are remembered. The one with the oldest failure is forgotten for a new one.
const MOST_PEERS: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Timestamp,
}

/// The failed log-ins by address.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Peer, Failures>>);

impl Attempts {
    /// Allows an attempt.
    ///
    /// # Errors
    /// The time until the next attempt is allowed.
    pub(crate) fn check(&self, peer: Peer, now: Timestamp) -> Result<(), Duration> {
        let failures = self.0.lock().get(&peer).copied();
        match failures.filter(|failures| failures.count >= MOST_FAILURES && is_recent(*failures, now)) {
            Some(failures) => Err(WINDOW.saturating_sub(now.since(failures.since))),
            None => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, peer: Peer, now: Timestamp) {
        let mut peers = self.0.lock();
        if !peers.contains_key(&peer) && peers.len() >= MOST_PEERS {
            peers.retain(|_, failures| is_recent(*failures, now));
            let oldest = peers.iter().min_by_key(|(_, failures)| failures.since).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest.filter(|_| peers.len() >= MOST_PEERS) {
                peers.remove(&oldest);
            }
        }
        let failures = peers.entry(peer).or_insert(Failures { count: 0, since: now });
        if !is_recent(*failures, now) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count += 1;
    }
}

/// Whether the failures are within the window. The clock may have been set back.
fn is_recent(failures: Failures, now: Timestamp) -> bool {
    failures.since <= now && now.since(failures.since) < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn peer(number: u32) -> Peer {
        Peer::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn an_address_with_many_failures_waits_and_others_do_not() {
        let attempts = Attempts::default();
        for _ in 0..MOST_FAILURES {
            assert_eq!(attempts.check(peer(1), NOW), Ok(()));
            attempts.failed(peer(1), NOW);
        }
        let later = NOW.plus(Duration::from_secs(60));
        assert_eq!(attempts.check(peer(1), later), Err(Duration::from_secs(240)));
        assert_eq!(attempts.check(peer(2), later), Ok(()));
        assert_eq!(attempts.check(peer(1), NOW.plus(WINDOW)), Ok(()));
        attempts.failed(peer(1), NOW.plus(WINDOW));
        assert_eq!(attempts.check(peer(1), NOW.plus(WINDOW)), Ok(()), "it begins anew");
    }

    #[test]
    fn the_remembered_addresses_are_bounded() {
        let attempts = Attempts::default();
        for number in (0..).take(MOST_PEERS) {
            for _ in 0..MOST_FAILURES {
                attempts.failed(peer(number), NOW.plus(Duration::from_millis(number.into())));
            }
        }
        let later = NOW.plus(Duration::from_secs(10));
        attempts.failed(peer(u32::MAX), later);
        assert_eq!(attempts.0.lock().len(), MOST_PEERS);
        assert_eq!(attempts.check(peer(0), later), Ok(()), "the oldest is forgotten");
        assert!(attempts.check(peer(1), later).is_err());
    }
}
