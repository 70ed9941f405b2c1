//! The newest events in memory, bounded in number and bytes.

use crate::events::event::{Draft, Event, EventFilter};
use std::collections::VecDeque;
use std::sync::Arc;

/// Most events that are kept.
const MOST_EVENTS: usize = 4_096;

/// Most bytes of their texts.
const MOST_BYTES: usize = 4 << 20;

/// Most events that are examined under the lock for one reader.
const MOST_EXAMINED: u64 = 512;

/// Numbers for each run of Windlass. With 2^53, the largest whole number of a JSON reader, they last for two million runs.
const NUMBERS_OF_RUN: u64 = 1 << 32;

/// The kept events, whose numbers follow each other.
#[derive(Debug)]
pub(crate) struct Backlog {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// The number of the newest event, or of the one before the first.
    last: u64,
    /// True if an event of this run is not kept any more, or if there was a run before.
    has_lost: bool,
}

/// The events after a number, as far as they were examined.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) events: Vec<Arc<Event>>,
    /// The number of the last event that was examined.
    pub(crate) examined: u64,
    /// True if there are further events.
    pub(crate) is_more: bool,
    /// True if events after the number are not kept any more.
    pub(crate) is_gap: bool,
}

impl Backlog {
    /// The backlog of a run, after this many runs.
    pub(crate) fn after_runs(runs: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, last: runs.saturating_mul(NUMBERS_OF_RUN), has_lost: runs > 0 }
    }

    pub(crate) fn push(&mut self, draft: Draft) {
        self.last += 1;
        let event = draft.numbered(self.last);
        self.bytes += event.json.len();
        self.events.push_back(Arc::new(event));
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.json.len();
            self.has_lost = true;
        }
    }

    /// The number of the newest event.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The number before the oldest kept event.
    pub(crate) fn begin(&self) -> u64 {
        self.last - self.events.len() as u64
    }

    /// At most `most` events after a number that the filter admits. A number that was never given counts as too old, since it
    /// is of another data directory.
    pub(crate) fn after(&self, number: u64, filter: &EventFilter, most: usize) -> Found {
        let begin = self.begin();
        let is_gap = (number < begin && self.has_lost) || number > self.last;
        let from = if is_gap { begin } else { number.max(begin) };
        let mut found = Found { events: Vec::new(), examined: from, is_more: false, is_gap };
        let first = usize::try_from(from - begin).unwrap_or(usize::MAX);
        for event in self.events.range(first.min(self.events.len())..) {
            if found.events.len() >= most || found.examined - from >= MOST_EXAMINED {
                break;
            }
            found.examined = event.id;
            if filter.admits(event) {
                found.events.push(Arc::clone(event));
            }
        }
        found.is_more = found.examined < self.last;
        found
    }
}
