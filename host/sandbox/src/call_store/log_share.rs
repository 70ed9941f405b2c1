//! The share of the host's log that each policy has: a policy cannot fill the disk, nor bury the lines of others.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that a policy may write at once.
const MOST: u64 = 64 << 10;

/// Bytes that it may write in a second on average: 177 MB a day.
const PER_SECOND: u64 = 2 << 10;

/// Bytes of a line in addition to its text.
const LINE: u64 = 128;

/// By the policy's name.
static SHARES: LazyLock<Mutex<HashMap<String, Share>>> = LazyLock::new(Mutex::default);

/// Takes a line of this length from the share of a policy. Returns false if the line is to be dropped.
///
/// A share that is used up takes no line until half of it is there again. Then the dropped lines are reported at once.
pub(super) fn take(policy: &str, length: usize) -> bool {
    let now = Instant::now();
    let dropped = {
        let mut shares = SHARES.lock();
        if !shares.contains_key(policy) {
            // A whole share is as good as none.
            shares.retain(|_, share| share.refill(now) < MOST || share.dropped > 0);
            shares.insert(policy.to_owned(), Share::new(now));
        }
        shares.get_mut(policy).and_then(|share| share.take(now, length))
    };
    if let Some(lines @ 1..) = dropped {
        tracing::warn!(policy, lines, "dropped log lines of the policy, because it wrote more than 2 KiB a second");
    }
    dropped.is_some()
}

#[derive(Debug)]
struct Share {
    bytes: u64,
    at: Instant,
    is_used_up: bool,
    dropped: u64,
}

impl Share {
    fn new(now: Instant) -> Self {
        Self { bytes: MOST, at: now, is_used_up: false, dropped: 0 }
    }

    /// Adds the bytes of the time since the last refill, and returns the bytes that are there.
    fn refill(&mut self, now: Instant) -> u64 {
        let bytes =
            u64::try_from(now.duration_since(self.at).as_millis()).unwrap_or(u64::MAX).saturating_mul(PER_SECOND)
                / 1_000;
        if bytes > 0 {
            // The rest of a byte stays for the next refill.
            self.at += Duration::from_millis(bytes.saturating_mul(1_000) / PER_SECOND);
            self.bytes = self.bytes.saturating_add(bytes).min(MOST);
        }
        self.bytes
    }

    /// Takes a line. Returns the number of lines that were dropped before it; `None` if it is dropped itself.
    fn take(&mut self, now: Instant, length: usize) -> Option<u64> {
        let bytes = self.refill(now);
        let cost = LINE.saturating_add(u64::try_from(length).unwrap_or(u64::MAX)).min(MOST / 4);
        if bytes < cost || (self.is_used_up && bytes < MOST / 2) {
            self.is_used_up = true;
            self.dropped += 1;
            return None;
        }
        self.is_used_up = false;
        self.bytes -= cost;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_to_the_share_and_reported() {
        let mut share = Share::new(Instant::now());
        let flood = |share: &mut Share| (0..10_000).filter(|_| share.take(Instant::now(), 896).is_some()).count();
        assert_eq!(flood(&mut share), 64);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(flood(&mut share), 0, "half of the share is not there yet");
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(share.take(Instant::now(), 896), Some(19_936));
        assert_eq!(flood(&mut share), 31);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(flood(&mut share), 64, "a share does not grow beyond the most");
    }

    #[test]
    fn each_policy_has_a_share_of_its_own() {
        let written = |policy: &str| (0..1_000).filter(|_| take(policy, 1_000)).count();
        assert!(written("a-flooding-policy") < 100 && take("a-quiet-policy", 1_000));
    }
}
