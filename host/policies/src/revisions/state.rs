//! The revisions of one policy as a pure state machine: [`apply`] turns a state and an event into the next state and the
//! effects that the owner ([`crate::revisions::set`]) carries out. No clock, no I/O, no loaded components.
//!
//! ```text
//!            push as candidate
//!       ┌────────────────────────► candidate ───────┐ replaced by
//!       │                              │ promote    ▼ a newer push
//!     (new)                            │        inactive ◄──────────────┐
//!       │ push                         │            │ promote,          │
//!       ▼                              │            │ roll back         │
//!   acting, on probation ◄─────────────┴────────────┘                   │ another revision acts
//!       │ failed      │ passed                                          │ (push, promote, roll back)
//!       ▼             ▼                                                 │
//!   quarantined    acting, proved ──────────────────────────────────────┘
//! ```
//!
//! - A revision on probation becomes inactive too when another revision acts. A proved revision acts again without a
//!   probation.
//! - When a probation fails, the fallback acts. Without a fallback no revision acts: a built-in policy takes its place.
//! - `quarantined` is final. A stored component that is missing or altered leads there too.
//! - A revision that did not load at this start for a reason that may pass is `deferred`: it acts again from the next start
//!   at which it loads, unless another revision was chosen meanwhile.

use windlass_core::policy::catalogue::{EVENTS_KEPT, PolicyEvent, RevisionInfo, Taken};
use windlass_core::{PolicyKind, Timestamp};

/// The revisions of one policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// Oldest first; the numbers increase.
    pub(crate) revisions: Vec<RevisionInfo>,
    /// The revision that decides. `None` if every revision failed.
    pub(crate) acting: Option<u32>,
    /// The revision that acts if the acting one fails its probation.
    pub(crate) fallback: Option<u32>,
    /// The revision that shadows the acting one.
    pub(crate) candidate: Option<u32>,
    /// The revision that acted when the state was stored, but has not been loaded since the start.
    pub(crate) deferred: Option<u32>,
    /// The last delivery of the policy's source.
    pub(crate) delivered: Option<Taken>,
    /// Oldest first; at most [`EVENTS_KEPT`].
    pub(crate) events: Vec<PolicyEvent>,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A component was loaded for the first time, and acts or becomes the candidate.
    Pushed(Push),
    /// The source delivered the component that acts, or is the candidate, already.
    Delivered(Taken),
    /// An operator chose the acting revision.
    Promoted { revision: u32, at: Timestamp },
    /// An operator went back to an earlier revision; `fallback` stands behind it.
    RolledBack { revision: u32, fallback: Option<u32>, at: Timestamp },
    /// The probation of a revision ended well.
    ProbationPassed { revision: u32, calls: u32, failures: u32, at: Timestamp },
    /// A revision failed too often in its probation. `last` is the last failure.
    ProbationFailed { revision: u32, calls: u32, failures: u32, last: String, kind: PolicyKind, at: Timestamp },
    /// A revision failed so often in a row for a workload that another policy takes its place there.
    BreakerOpened { revision: u32, workload: String, failures: u32, last: String, at: Timestamp },
    /// A revision answers again for a workload, and acts there.
    BreakerClosed { revision: u32, workload: String, at: Timestamp },
    /// A stored revision did not load. If `is_final`, it never will.
    LoadFailed { revision: u32, why: String, is_final: bool, at: Timestamp },
    /// The host started and loaded these stored revisions.
    Restored { acting: Option<u32>, fallback: Option<u32>, candidate: Option<u32> },
}

/// A new revision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Push {
    /// Numbered by [`State::next_revision`].
    pub(crate) revision: RevisionInfo,
    /// Whether it becomes the candidate instead of acting.
    pub(crate) as_candidate: bool,
    /// The delivery, if a source pushed it.
    pub(crate) delivered: Option<Taken>,
    /// Revisions to keep.
    pub(crate) keep: u32,
}

/// A consequence of an event, for the owner to carry out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Write the state to disk. If this is the first effect, the state must not act before it is written.
    Store,
    /// Count the first calls of this revision from zero, unless it has proved itself.
    BeginProbation { revision: u32, is_proved: bool },
    /// Let calls see the acting revision and the candidate.
    Publish,
    /// Log what happened to a revision.
    Log { revision: u32, severity: Severity, message: String },
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Info,
    Error,
}

/// The state after an event, and its effects in order. An event that no longer fits the state changes nothing.
pub(crate) fn apply(state: &State, event: Event) -> (State, Vec<Effect>) {
    let mut transition = Transition { state: state.clone(), effects: Vec::new() };
    transition.apply(event);
    (transition.state, transition.effects)
}

/// The state after several events, and all their effects in order.
pub(crate) fn apply_all(state: &State, events: &[Event]) -> (State, Vec<Effect>) {
    events.iter().fold((state.clone(), Vec::new()), |(state, mut effects), event| {
        let (state, more) = apply(&state, event.clone());
        effects.extend(more);
        (state, effects)
    })
}

impl State {
    pub(crate) fn revision(&self, number: u32) -> Option<&RevisionInfo> {
        self.revisions.iter().find(|revision| revision.number == number)
    }

    /// Number of the next revision, and the revision whose memory it inherits (its own number with `reset_memory`).
    pub(crate) fn next_revision(&self, reset_memory: bool) -> (u32, u32) {
        let newest = self.revisions.last();
        let number = newest.map_or(1, |newest| newest.number + 1);
        let memory_from = self.acting.and_then(|acting| self.revision(acting)).or(newest);
        let inherited = memory_from.map_or(0, |revision| revision.memory_since);
        (number, if reset_memory { number } else { inherited })
    }

    /// Whether this component acts, or is the candidate.
    pub(crate) fn is_in_use(&self, digest: &str, as_candidate: bool) -> bool {
        let number = if as_candidate { self.candidate } else { self.acting };
        number.and_then(|number| self.revision(number)).is_some_and(|revision| revision.digest == digest)
    }

    /// Revisions older than `number` that acted before and may act again, newest first. `None` means all.
    pub(crate) fn eligible_before(&self, number: Option<u32>) -> Vec<RevisionInfo> {
        let older = self.revisions.iter().rev().filter(|revision| number.is_none_or(|number| revision.number < number));
        older.filter(|revision| revision.acted && revision.quarantined.is_none()).cloned().collect()
    }

    /// Whether the owner must keep the component of this revision loaded.
    pub(crate) fn is_needed(&self, number: u32) -> bool {
        [self.acting, self.fallback, self.candidate].contains(&Some(number))
    }

    fn may_act(&self, number: u32) -> bool {
        self.revision(number).is_some_and(|revision| revision.quarantined.is_none())
    }

    fn is_proved(&self, number: u32) -> bool {
        self.revision(number).is_some_and(|revision| revision.proved)
    }
}

/// A state while an event is applied to it.
struct Transition {
    state: State,
    effects: Vec<Effect>,
}

impl Transition {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Pushed(push) => self.push(push),
            Event::Delivered(delivered) => {
                self.state.delivered = Some(delivered);
                self.effects.push(Effect::Store);
            }
            Event::Promoted { revision, at } => self.promote(revision, at),
            Event::RolledBack { revision, fallback, at } => self.roll_back(revision, fallback, at),
            Event::ProbationPassed { revision, calls, failures, at } => {
                self.pass_probation(
                    revision,
                    at,
                    format!("passed its probation: {failures} of its first {calls} calls failed"),
                );
            }
            Event::ProbationFailed { revision, calls, failures, last, kind, at } => {
                let why = format!("{failures} of its first {calls} calls failed, the last one: {last}");
                self.fail_probation(revision, &why, kind, at);
            }
            Event::BreakerOpened { revision, workload, failures, last, at } => {
                let message = format!(
                    "failed {failures} times in a row for `{workload}`, the last time with {last}; another policy takes its \
                     place there"
                );
                self.note(revision, at, Severity::Error, message);
            }
            Event::BreakerClosed { revision, workload, at } => {
                self.note(revision, at, Severity::Info, format!("answers again for `{workload}`, and acts there"));
            }
            Event::LoadFailed { revision, why, is_final, at } => self.fail_to_load(revision, &why, is_final, at),
            Event::Restored { acting, fallback, candidate } => self.restore(acting, fallback, candidate),
        }
    }

    fn push(&mut self, Push { revision, as_candidate, delivered, keep }: Push) {
        let (number, at, by) = (revision.number, revision.loaded_at, revision.loaded_by.clone());
        if self.state.revisions.last().is_some_and(|newest| newest.number >= number) {
            return;
        }
        let memory = if revision.memory_since == number { ", with empty memory" } else { "" };
        self.state.revisions.push(revision);
        self.state.delivered = delivered.or(self.state.delivered.take());
        self.effects.push(Effect::Store);
        if as_candidate {
            self.state.candidate = Some(number);
            self.effects.push(Effect::Publish);
            self.record(at, number, Severity::Info, format!("pushed as the candidate by {by}{memory}"));
        } else {
            // The candidate was compared with the revision that acted until now.
            self.state.candidate = None;
            self.succeed(number);
            self.effects.push(Effect::Publish);
            self.record(at, number, Severity::Info, format!("pushed by {by}{memory}; it acts"));
        }
        self.prune(keep);
    }

    fn promote(&mut self, number: u32, at: Timestamp) {
        if !self.state.may_act(number) || self.state.acting == Some(number) {
            return;
        }
        self.effects.push(Effect::Store);
        self.state.candidate = self.state.candidate.filter(|candidate| *candidate != number);
        self.succeed(number);
        self.effects.push(Effect::Publish);
        self.record(at, number, Severity::Info, "promoted; it acts".to_owned());
    }

    fn roll_back(&mut self, number: u32, fallback: Option<u32>, at: Timestamp) {
        if !self.state.may_act(number) {
            return;
        }
        let from =
            self.state.acting.map_or_else(|| "the built-in policy".to_owned(), |from| format!("revision {from}"));
        self.effects.push(Effect::Store);
        self.act(number, fallback);
        self.effects.push(Effect::Publish);
        self.record(at, number, Severity::Info, format!("rolled back from {from}; it acts"));
    }

    fn pass_probation(&mut self, number: u32, at: Timestamp, message: String) {
        let Some(revision) = self.state.revisions.iter_mut().find(|revision| revision.number == number) else { return };
        revision.proved = true;
        self.record(at, number, Severity::Info, message);
        self.effects.push(Effect::Store);
    }

    fn fail_probation(&mut self, number: u32, why: &str, kind: PolicyKind, at: Timestamp) {
        if self.state.acting != Some(number) {
            return;
        }
        self.quarantine(number, why.to_owned());
        let fallback = self.state.fallback.take().filter(|fallback| self.state.may_act(*fallback));
        self.state.acting = None;
        if let Some(fallback) = fallback {
            self.act(fallback, None);
        }
        self.effects.push(Effect::Publish);
        let instead = fallback.map_or_else(
            || format!("the built-in {kind} policy takes its place"),
            |fallback| format!("revision {fallback} acts again"),
        );
        self.record(at, number, Severity::Error, format!("failed its probation and is quarantined: {why}; {instead}"));
        // Calls must not wait for the disk: a revision that failed stops acting first.
        self.effects.push(Effect::Store);
    }

    fn fail_to_load(&mut self, number: u32, why: &str, is_final: bool, at: Timestamp) {
        // The next change stores this. A start before that tries again and comes to the same result.
        if is_final {
            self.quarantine(number, format!("it cannot be loaded any more: {why}"));
            self.record(at, number, Severity::Error, format!("quarantined: it cannot be loaded any more: {why}"));
        } else {
            self.record(at, number, Severity::Error, format!("passed over: it did not load this time: {why}"));
        }
    }

    fn restore(&mut self, acting: Option<u32>, fallback: Option<u32>, candidate: Option<u32>) {
        let stored = self.state.deferred;
        if let Some(number) = acting.filter(|number| self.state.may_act(*number)) {
            self.act(number, fallback);
        }
        self.state.deferred = stored.filter(|stored| {
            let revision = self.state.revision(*stored);
            let is_eligible = revision.is_some_and(|revision| revision.acted && revision.quarantined.is_none());
            is_eligible && self.state.acting != Some(*stored)
        });
        self.state.candidate = candidate.filter(|number| self.state.may_act(*number));
        self.effects.push(Effect::Publish);
    }

    /// Lets another revision act. The fallback becomes the revision that acted, unless that one is not proved and its
    /// fallback is.
    fn succeed(&mut self, number: u32) {
        let is_proved = |number: Option<u32>| number.is_some_and(|number| self.state.is_proved(number));
        let (acting, fallback) = (self.state.acting, self.state.fallback);
        let keeps_fallback = !is_proved(acting) && is_proved(fallback);
        self.act(number, if keeps_fallback { fallback } else { acting });
    }

    fn act(&mut self, number: u32, fallback: Option<u32>) {
        let fallback = fallback.filter(|fallback| *fallback != number && self.state.may_act(*fallback));
        let Some(revision) = self.state.revisions.iter_mut().find(|revision| revision.number == number) else { return };
        revision.acted = true;
        self.effects.push(Effect::BeginProbation { revision: number, is_proved: revision.proved });
        (self.state.acting, self.state.fallback, self.state.deferred) = (Some(number), fallback, None);
    }

    fn quarantine(&mut self, number: u32, why: String) {
        if let Some(revision) = self.state.revisions.iter_mut().find(|revision| revision.number == number) {
            revision.quarantined = Some(why);
        }
        self.state.deferred = self.state.deferred.filter(|deferred| *deferred != number);
    }

    /// Records and stores an event of a revision that is still known.
    fn note(&mut self, number: u32, at: Timestamp, severity: Severity, message: String) {
        if self.state.revision(number).is_some() {
            self.record(at, number, severity, message);
            self.effects.push(Effect::Store);
        }
    }

    /// Adds an event to the policy's history and to the log.
    fn record(&mut self, at: Timestamp, revision: u32, severity: Severity, message: String) {
        self.state.events.push(PolicyEvent { at, revision, what: message.clone() });
        let excess = self.state.events.len().saturating_sub(EVENTS_KEPT);
        self.state.events.drain(..excess);
        self.effects.push(Effect::Log { revision, severity, message });
    }

    /// Drops the oldest revisions beyond `keep`, except those in use.
    fn prune(&mut self, keep: u32) {
        let mut excess = self.state.revisions.len().saturating_sub(keep as usize);
        let revisions = std::mem::take(&mut self.state.revisions);
        let is_needed = |number| self.state.is_needed(number) || self.state.deferred == Some(number);
        self.state.revisions = revisions
            .into_iter()
            .filter(|revision| {
                let is_dropped = excess > 0 && !is_needed(revision.number);
                excess -= usize::from(is_dropped);
                !is_dropped
            })
            .collect();
    }
}

#[cfg(test)]
mod tests;
