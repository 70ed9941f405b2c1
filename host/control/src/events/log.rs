//! The event log: published by the loop, read by any number of readers.

use crate::clock::Clock;
use crate::events::backlog::{Backlog, Found};
use crate::events::event::{Draft, Event, EventFilter, EventKind};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use windlass_core::WorkloadKey;

/// Most events of one read.
const MOST_READ: usize = 64;

/// Groups of readers that are woken one after the other, so that a pass never waits behind all of them for a processor.
const GROUPS: usize = 64;

/// Time between the wakes of two groups.
const BETWEEN_GROUPS: Duration = Duration::from_millis(1);

/// Time between two wakes of the readers, so that a burst of events is one wake.
const BETWEEN_WAKES: Duration = Duration::from_millis(50);

/// The events of the loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Locked for as long as it takes to add an event, or to copy some pointers.
    backlog: Mutex<Backlog>,
    /// Wakes the task that wakes the readers.
    published: Notify,
    /// Wake the readers of a group each. The value tells whether no more events come.
    groups: [watch::Sender<bool>; GROUPS],
    /// The readers so far, which take turns to join the groups.
    readers: AtomicUsize,
}

/// Events of the backlog, oldest first.
#[derive(Debug)]
pub struct Batch {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// The number after which the next batch begins.
    pub last: u64,
    /// True if another batch follows.
    pub is_more: bool,
}

/// The next events of a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Events, at least one.
    Events(Vec<Arc<Event>>),
    /// Events after the number with which the reader began are not kept any more. Those that are kept follow.
    Missed,
    /// The reader was too slow: events that it did not read are not kept any more.
    Dropped,
    /// No more events come, because Windlass shuts down.
    Over,
}

/// Reads events as they are published.
#[derive(Debug)]
pub struct EventReader {
    log: Arc<Inner>,
    filter: EventFilter,
    /// The number of the last event that was read.
    last: u64,
    /// True if it continues from the number of an earlier reader.
    resumes: bool,
    woken: watch::Receiver<bool>,
}

impl Events {
    /// An empty log, after this many runs of Windlass.
    pub(crate) fn after_runs(runs: u64, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            backlog: Mutex::new(Backlog::after_runs(runs)),
            published: Notify::new(),
            groups: std::array::from_fn(|_| watch::Sender::new(false)),
            readers: AtomicUsize::new(0),
        }))
    }

    /// Adds an event. Never waits for a reader. A sentence is cut after 4 KiB, and data of more than 16 KiB are left out.
    pub fn publish(&self, kind: EventKind, workload: Option<&WorkloadKey>, text: &str, data: &Value) {
        let draft = Draft::new(self.0.clock.now(), kind, workload, text, data);
        self.0.backlog.lock().push(draft);
        self.0.published.notify_one();
    }

    /// The number of the newest event, after which a reader may begin.
    pub fn last(&self) -> u64 {
        self.0.backlog.lock().last()
    }

    /// The next kept events after a number that a filter admits; after 0 from the oldest one.
    pub fn since(&self, number: u64, filter: &EventFilter) -> Batch {
        let Found { events, examined, is_more, .. } = self.0.backlog.lock().after(number, filter, MOST_READ);
        Batch { events, last: examined, is_more }
    }

    /// A reader of the events after a number, or of those from now on. After 0, it reads every kept event.
    pub fn subscribe(&self, after: Option<u64>, filter: EventFilter) -> EventReader {
        let turn = self.0.readers.fetch_add(1, Ordering::Relaxed);
        let woken = self.0.groups[turn % GROUPS].subscribe();
        let backlog = self.0.backlog.lock();
        let last = match after {
            None => backlog.last(),
            Some(0) => backlog.begin(),
            Some(number) => number,
        };
        EventReader { log: Arc::clone(&self.0), filter, last, resumes: after.is_some(), woken }
    }

    /// Ends the reads of all readers.
    pub(crate) fn end(&self) {
        for group in &self.0.groups {
            group.send_replace(true);
        }
        self.0.published.notify_one();
    }

    /// Wakes the readers after each event, until the log has ended. A pass that publishes an event wakes this task only, so
    /// it takes no longer with a thousand readers than without any.
    pub(crate) async fn wake_readers(self) {
        loop {
            self.0.published.notified().await;
            if *self.0.groups[0].borrow() {
                return;
            }
            for group in self.0.groups.iter().filter(|group| group.receiver_count() > 0) {
                group.send_modify(|_| {});
                tokio::time::sleep(BETWEEN_GROUPS).await;
            }
            tokio::time::sleep(BETWEEN_WAKES).await;
        }
    }
}

impl EventReader {
    /// The next events; waits until there are some.
    pub async fn next(&mut self) -> Read {
        loop {
            let is_over = *self.woken.borrow_and_update();
            let Found { events, examined, is_more, is_gap } =
                self.log.backlog.lock().after(self.last, &self.filter, MOST_READ);
            let resumes = std::mem::take(&mut self.resumes);
            if is_gap && !resumes {
                return Read::Dropped;
            }
            if is_gap {
                self.last = self.log.backlog.lock().begin();
                return Read::Missed;
            }
            self.last = examined;
            if !events.is_empty() {
                return Read::Events(events);
            }
            if is_more {
                // None of the examined ones is of interest.
                tokio::task::yield_now().await;
                continue;
            }
            if is_over || self.woken.changed().await.is_err() {
                return Read::Over;
            }
        }
    }
}
