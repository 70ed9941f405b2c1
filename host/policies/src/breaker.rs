//! The circuit breaker of a policy: counts its calls, and says when another one takes its place.
//!
//! ```text
//!   trial ──► proved          (a revision; for all workloads at once)
//!     └─────► quarantined
//!
//!   closed ──► open ──► half-open        (a workload)
//!     ▲          ▲──────────┤ the call failed: the wait doubles
//!     └─────────────────────┘ the call was answered
//! ```
//!
//! The trial is the state of a new revision: after too many failures in its first calls, it never acts again. After the
//! trial, failures in a row count for each workload, since a policy may fail for the input of one of them only. A workload
//! that names the policy several times has a count for each use, since each has a configuration of its own.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, Timestamp};

/// Wait before the first attempt after the breaker opened.
const FIRST_WAIT: Duration = Duration::from_secs(60);

/// The wait doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// An entry without a call for this time belongs to a workload that is gone or has chosen another policy.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 3_600);

/// The calls whose failures count apart: a policy may answer the first and always fail in the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// A decision or an evaluation, with the configuration before it.
    Decide,
    /// The choice of replicas to protect.
    Protect,
}

/// A use of a policy: the answers of one use say nothing about another one, which has another configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) workload: String,
    /// How many earlier uses of the policy the workload names.
    pub(crate) earlier: usize,
}

/// Counts the calls of a policy.
#[derive(Debug)]
pub(crate) struct Breaker {
    trial: Trial,
    /// Failures in a row that open it for a use.
    failures_in_row: u32,
    /// Uses with failures in a row. Calls take the lock only while there are some.
    failing: Mutex<BTreeMap<(Use, Call), Failing>>,
    failing_count: AtomicUsize,
}

/// The first calls of a revision.
#[derive(Debug)]
struct Trial {
    /// Calls that end it.
    max_calls: u32,
    /// Failures that end it.
    max_failures: u32,
    is_over: AtomicBool,
    calls: AtomicU32,
    failures: AtomicU32,
}

/// The failures in a row of a policy in a use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failing {
    /// Number of failures.
    pub(crate) failures: u32,
    /// The first failure.
    pub(crate) since: Timestamp,
    /// The last failure.
    pub(crate) last: PolicyFailure,
    /// Time of the last failure.
    last_at: Timestamp,
    /// Time of the next attempt. `None` if the breaker is closed.
    pub(crate) retry_at: Option<Timestamp>,
    /// The wait before that attempt.
    wait: Duration,
}

/// The breaker of a policy for one use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// The policy acts.
    Closed,
    /// Another policy takes its place.
    Open(Failing),
    /// The wait is over: the next call decides.
    HalfOpen(Failing),
}

/// A change of the breaker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// The trial ended well.
    Passed { calls: u32, failures: u32 },
    /// The trial ended with too many failures. `last` is the last one.
    Failed { calls: u32, failures: u32, last: PolicyFailure },
    /// It opened for a workload. `is_first`: it was closed for every other use.
    Opened { workload: String, failing: Failing, is_first: bool },
    /// It closed for a workload. `is_last`: it is closed for every use now.
    Closed { workload: String, is_last: bool },
}

impl Breaker {
    /// A closed breaker, on trial.
    pub(crate) fn new(limits: &PolicyLimits) -> Self {
        Self {
            trial: Trial {
                max_calls: limits.trial_calls,
                max_failures: limits.trial_failures,
                is_over: AtomicBool::default(),
                calls: AtomicU32::default(),
                failures: AtomicU32::default(),
            },
            failures_in_row: limits.failures_in_row,
            failing: Mutex::default(),
            failing_count: AtomicUsize::default(),
        }
    }

    /// Starts again from zero. A proved revision has no trial.
    pub(crate) fn begin(&self, is_proved: bool) {
        self.trial.begin(is_proved);
        let mut failing = self.failing.lock();
        failing.clear();
        self.failing_count.store(0, Ordering::SeqCst);
    }

    /// Its state for a use.
    pub(crate) fn state(&self, used: &Use, now: Timestamp) -> State {
        if self.failing_count.load(Ordering::SeqCst) == 0 {
            return State::Closed;
        }
        let failing = self.failing.lock();
        let open = [Call::Decide, Call::Protect].into_iter().filter_map(|call| failing.get(&(used.clone(), call)));
        // Both calls must be due: each is part of the next decision.
        let open = open.filter(|failing| failing.retry_at.is_some()).max_by_key(|failing| failing.retry_at);
        match open {
            None => State::Closed,
            // A clock that was set back must not prolong the wait.
            Some(failing) if failing.retry_at.is_none_or(|at| at <= now) || now < failing.last_at => {
                State::HalfOpen(failing.clone())
            }
            Some(failing) => State::Open(failing.clone()),
        }
    }

    /// Workloads for which it is open, with the failures.
    pub(crate) fn open(&self) -> Vec<(String, Failing)> {
        let failing = self.failing.lock();
        let open = failing.iter().filter(|(_, failing)| failing.retry_at.is_some());
        open.map(|((used, _), failing)| (used.workload.clone(), failing.clone())).collect()
    }

    /// Counts a call. Of several concurrent calls, exactly one gets a change.
    pub(crate) fn count(&self, used: &Use, call: Call, failure: Option<&PolicyFailure>, now: Timestamp) -> Vec<Change> {
        // A policy that lacks facts has answered. A policy that was not called has not.
        let answered = failure.is_none_or(|failure| failure.kind == FailureKind::InsufficientData);
        let counts = failure.is_none_or(PolicyFailure::is_of_the_policy);
        let mut changes = Vec::new();
        if counts {
            changes.extend(self.trial.count(failure));
        }
        if answered {
            changes.extend(self.answered(used, call));
        } else if let Some(failure) = failure.filter(|_| counts) {
            changes.extend(self.failed(used, call, failure, now));
        }
        changes
    }

    fn answered(&self, used: &Use, call: Call) -> Option<Change> {
        if self.failing_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut failing = self.failing.lock();
        let before = failing.remove(&(used.clone(), call));
        self.failing_count.store(failing.len(), Ordering::SeqCst);
        let is_last = open_count(&failing) == 0;
        before?.retry_at.map(|_| Change::Closed { workload: used.workload.clone(), is_last })
    }

    fn failed(&self, used: &Use, call: Call, failure: &PolicyFailure, now: Timestamp) -> Option<Change> {
        let mut failing = self.failing.lock();
        failing.retain(|_, entry| now.since(entry.last_at) < FORGOTTEN_AFTER);
        let entry = failing.entry((used.clone(), call)).or_insert_with(|| Failing {
            failures: 0,
            since: now,
            last: failure.clone(),
            last_at: now,
            retry_at: None,
            wait: Duration::ZERO,
        });
        entry.failures = entry.failures.saturating_add(1);
        (entry.last, entry.last_at) = (failure.clone(), now);
        let was_open = entry.retry_at.is_some();
        if was_open || entry.failures >= self.failures_in_row {
            entry.wait = if was_open { (entry.wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
            entry.retry_at = Some(now.plus(entry.wait));
        }
        let opened = (!was_open && entry.retry_at.is_some()).then(|| entry.clone());
        self.failing_count.store(failing.len(), Ordering::SeqCst);
        let is_first = open_count(&failing) == 1;
        opened.map(|failing| Change::Opened { workload: used.workload.clone(), failing, is_first })
    }
}

fn open_count(failing: &BTreeMap<(Use, Call), Failing>) -> usize {
    failing.values().filter(|failing| failing.retry_at.is_some()).count()
}

impl Trial {
    fn begin(&self, is_proved: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.failures.store(0, Ordering::SeqCst);
        self.is_over.store(is_proved, Ordering::SeqCst);
    }

    fn count(&self, failure: Option<&PolicyFailure>) -> Option<Change> {
        if self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let failed = u32::from(failure.is_some());
        let failures = self.failures.fetch_add(failed, Ordering::SeqCst).saturating_add(failed);
        let last = failure.filter(|_| failures >= self.max_failures).cloned();
        let is_over = last.is_some() || calls >= self.max_calls;
        (is_over && !self.is_over.swap(true, Ordering::SeqCst)).then_some(match last {
            Some(last) => Change::Failed { calls, failures, last },
            None => Change::Passed { calls, failures },
        })
    }
}

#[cfg(test)]
mod tests;
