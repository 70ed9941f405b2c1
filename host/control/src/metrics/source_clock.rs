//! Corrects the times of values from a source whose clock differs from the host's, and warns once about it.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_core::Timestamp;

/// Differences up to this are normal: dates have whole seconds, and clocks are adjusted slowly.
const TOLERATED: Duration = Duration::from_secs(5);

/// The sources whose clock differs.
#[derive(Debug, Default)]
pub(crate) struct SourceClocks {
    /// The origins that a warning was logged about.
    warned: Mutex<BTreeSet<String>>,
}

/// The difference of a source's clock from the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Ahead(Duration),
    Behind(Duration),
}

/// The times of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// The time at which the host sent it.
    pub(crate) sent: Timestamp,
    /// The time at which the host received the response.
    pub(crate) received: Timestamp,
    /// The time of the response by the source's clock. `None` if the source does not send it.
    pub(crate) date: Option<Timestamp>,
}

impl Exchange {
    fn difference(self) -> Option<Difference> {
        let date = self.date?;
        let (ahead, behind) = (date.since(self.received), self.sent.since(date));
        if ahead > TOLERATED {
            Some(Difference::Ahead(ahead))
        } else {
            (behind > TOLERATED).then_some(Difference::Behind(behind))
        }
    }
}

impl SourceClocks {
    /// The time of a value by the host's clock. A value that is old also by the source's clock stays old; none is in the
    /// future.
    pub(crate) fn corrected(&self, origin: &str, at: Timestamp, exchange: Exchange) -> Timestamp {
        let difference = exchange.difference();
        self.warn(origin, difference);
        let at = match difference {
            None => at,
            Some(Difference::Ahead(ahead)) => at.minus(ahead),
            Some(Difference::Behind(behind)) => at.plus(behind),
        };
        at.min(exchange.received)
    }

    /// Logs a difference once, until the clocks agree again. Returns true if it did.
    fn warn(&self, origin: &str, difference: Option<Difference>) -> bool {
        let mut warned = self.warned.lock();
        let (direction, by) = match difference {
            None => {
                warned.remove(origin);
                return false;
            }
            Some(Difference::Ahead(by)) => ("ahead of", by),
            Some(Difference::Behind(by)) => ("behind", by),
        };
        let is_new = warned.insert(origin.to_owned());
        if is_new {
            tracing::warn!(
                source = origin,
                difference_s = by.as_secs(),
                "the clock of a metric source is {direction} this machine's clock by {} s; the times of its values are \
                 corrected; set one of the clocks",
                by.as_secs()
            );
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    #[test]
    fn the_time_of_a_value_is_that_of_the_host_and_a_difference_is_logged_once() {
        let clocks = SourceClocks::default();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let exchange = |date| Exchange { sent: NOW.minus(Duration::from_millis(300)), received: NOW, date };
        let corrected = |at, date| clocks.corrected("http://a", at, exchange(date));
        assert_eq!(corrected(NOW, Some(NOW)), NOW);
        assert_eq!(corrected(NOW.plus(minutes(10)), Some(NOW.plus(minutes(10)))), NOW);
        assert_eq!(
            corrected(NOW.minus(minutes(10)), Some(NOW.minus(minutes(10)))),
            NOW.minus(Duration::from_millis(300))
        );
        // A value that is old by the clock of its source stays old.
        assert_eq!(corrected(NOW.plus(minutes(2)), Some(NOW.plus(minutes(10)))), NOW.minus(minutes(8)));
        assert_eq!(corrected(NOW.minus(minutes(3)), Some(NOW)), NOW.minus(minutes(3)));
        // Without a date, nothing tells an old value from a clock that is behind; none is in the future.
        assert_eq!(corrected(NOW.minus(minutes(3)), None), NOW.minus(minutes(3)));
        assert_eq!(corrected(NOW.plus(minutes(3)), None), NOW);

        let warns = |origin, date| clocks.warn(origin, exchange(date).difference());
        assert!(warns("http://b", Some(NOW.plus(minutes(1)))));
        assert!(!warns("http://b", Some(NOW.plus(minutes(2)))), "once");
        assert!(warns("http://c", Some(NOW.minus(minutes(2)))), "each source");
        assert!(!warns("http://b", Some(NOW.plus(Duration::from_secs(4)))), "the clocks agree");
        assert!(warns("http://b", Some(NOW.minus(minutes(1)))), "they differ again");
    }
}
