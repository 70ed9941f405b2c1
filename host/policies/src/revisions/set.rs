//! One pushed name: its revisions, which of them acts, and the trial of a new one.

use crate::monitored::Watched;
use crate::probation::Verdict;
use crate::revisions::store::{Shelf, Shelved};
use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use windlass_concurrency::Group;
use windlass_core::policy::catalogue::{EVENTS_KEPT, PolicyEvent, RevisionInfo, Taken};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyKind, Timestamp};

/// Every pushed name, and where they are stored.
#[derive(Debug)]
pub(crate) struct Names {
    /// None: nothing outlives the process.
    pub(crate) shelf: Option<Shelf>,
    pub(crate) policies: RwLock<BTreeMap<String, Arc<Pushed>>>,
    /// Held while the index is written, so that an older one never follows a newer one.
    saving: Mutex<()>,
}

impl Names {
    pub(crate) fn new(shelf: Option<Shelf>) -> Self {
        Self { shelf, policies: RwLock::default(), saving: Mutex::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Pushed>> {
        self.policies.read().get(name).cloned()
    }

    /// Stores everything as it is now.
    fn save(&self) -> io::Result<()> {
        let _saving = self.saving.lock();
        self.save_but(|_| ())
    }

    /// Stores everything as it is now, but for `change`.
    fn save_but(&self, change: impl FnOnce(&mut BTreeMap<String, Shelved>)) -> io::Result<()> {
        let Some(shelf) = &self.shelf else { return Ok(()) };
        let mut index = self.shelved();
        change(&mut index);
        shelf.save(index)
    }

    /// Stores a name as it is about to be, with the component that is new, then lets it be so. Nobody else stores
    /// anything meanwhile: an index without the new revision would take its component away again.
    pub(crate) fn commit(
        &self,
        pushed: &Arc<Pushed>,
        state: State,
        component: Option<(&str, &[u8])>,
    ) -> io::Result<()> {
        let _saving = self.saving.lock();
        if let (Some(shelf), Some((digest, bytes))) = (&self.shelf, component) {
            shelf.put(digest, bytes)?;
        }
        self.save_but(|index| drop(index.insert(pushed.name.clone(), state.shelved(pushed.kind))))?;
        // Let go of when the lock is: a component that nobody needs any more takes a while to unmap.
        let _old = pushed.change(|now| now.turn_into(state));
        self.insert(pushed);
        Ok(())
    }

    /// Makes a name known that was not.
    pub(crate) fn insert(&self, pushed: &Arc<Pushed>) {
        if self.get(&pushed.name).is_none() {
            let mut policies = self.policies.write();
            policies.insert(pushed.name.clone(), Arc::clone(pushed));
        }
    }

    /// Forgets a name: first on disk, then here.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let _saving = self.saving.lock();
        self.save_but(|index| drop(index.remove(name)))?;
        self.policies.write().remove(name);
        Ok(())
    }

    fn shelved(&self) -> BTreeMap<String, Shelved> {
        let policies = self.policies.read().clone();
        policies.into_iter().map(|(name, pushed)| (name, pushed.lock().shelved(pushed.kind))).collect()
    }
}

/// One pushed name.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) name: String,
    pub(crate) kind: PolicyKind,
    names: Weak<Names>,
    limits: Arc<PolicyLimits>,
    /// The places of its revisions among the calls in flight.
    pub(crate) calls: Group,
    state: Mutex<State>,
    asked: ArcSwap<Asked>,
}

/// Who is asked, as calls see it: without a lock, so that nobody who changes, stores or lists the state keeps one waiting.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) acting: Option<Arc<Watched>>,
    pub(crate) candidate: Option<Arc<Watched>>,
}

/// The revisions of a name.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Oldest first.
    pub(crate) revisions: Vec<RevisionInfo>,
    /// Who is asked; none: every revision failed.
    pub(crate) acting: Option<Arc<Watched>>,
    /// Who is asked if the acting one fails its trial.
    pub(crate) before: Option<Arc<Watched>>,
    /// Who is asked beside the acting one, without a consequence.
    pub(crate) candidate: Option<Arc<Watched>>,
    /// The revision that acted when this was stored and did not load at this start for a reason that may pass: it acts
    /// again from the next start at which it loads, unless somebody lets another one act.
    pub(crate) passed_over: Option<u32>,
    /// What its source gave last.
    pub(crate) taken: Option<Taken>,
    /// What happened, oldest first.
    pub(crate) events: Vec<PolicyEvent>,
}

impl State {
    /// A name as it was stored, none of whose revisions acts yet.
    pub(crate) fn stored(shelved: Shelved) -> Self {
        let Shelved { revisions, taken, events, .. } = shelved;
        Self { revisions, taken, events, ..Self::default() }
    }

    /// Notes what happened to a revision.
    pub(crate) fn happened(&mut self, at: Timestamp, revision: u32, what: String) {
        self.events.push(PolicyEvent { at, revision, what });
        let excess = self.events.len().saturating_sub(EVENTS_KEPT);
        self.events.drain(..excess);
    }

    /// Takes over a state that was made from this one a moment ago, and gives the old one; what calls have shown since is
    /// kept.
    #[must_use = "dropped under the lock of this state, it keeps calls waiting"]
    pub(crate) fn turn_into(&mut self, mut next: Self) -> Self {
        for shown in &self.revisions {
            if let Some(revision) = next.revision(shown.number) {
                revision.proved |= shown.proved;
                revision.quarantined = revision.quarantined.take().or(shown.quarantined.clone());
            }
        }
        let may_act = |watched: &Arc<Watched>| {
            !next.revisions.iter().any(|one| one.number == watched.number() && one.quarantined.is_some())
        };
        // What calls brought about since the other state was made: it is newer than what that state knew.
        let last = self.events.iter().rposition(|event| next.events.contains(event)).map_or(0, |last| last + 1);
        let since = self.events.split_off(last);
        let place = next.events.len().saturating_sub(1);
        next.events.splice(place..place, since);
        let before = next.before.take().filter(may_act);
        next.before = before;
        std::mem::replace(self, next)
    }

    pub(crate) fn shelved(&self, kind: PolicyKind) -> Shelved {
        Shelved {
            kind,
            acting: self.passed_over.or(self.acting.as_ref().map(|watched| watched.number())),
            candidate: self.candidate.as_ref().map(|watched| watched.number()),
            revisions: self.revisions.clone(),
            taken: self.taken.clone(),
            events: self.events.clone(),
        }
    }

    /// Lets a revision act, and begins its trial anew.
    pub(crate) fn act(&mut self, watched: Arc<Watched>, before: Option<Arc<Watched>>) {
        if let Some(revision) = self.revision(watched.number()) {
            revision.acted = true;
            watched.trial.begin(revision.proved);
        }
        (self.acting, self.before, self.passed_over) = (Some(watched), before, None);
    }

    /// Lets another revision act. Behind it stands the one that acted, unless only the one that stood behind that one has
    /// proved itself.
    pub(crate) fn succeed(&mut self, watched: Arc<Watched>) {
        let is_proved = |one: &Arc<Watched>| {
            self.revisions.iter().any(|revision| revision.number == one.number() && revision.proved)
        };
        let keeps_behind = !self.acting.as_ref().is_some_and(is_proved) && self.before.as_ref().is_some_and(is_proved);
        let (acting, behind) = (self.acting.take(), self.before.take());
        let before = if keeps_behind { behind } else { acting };
        let number = watched.number();
        self.act(watched, before.filter(|before| before.number() != number));
    }

    /// Whether a component acts, or is the candidate.
    pub(crate) fn is_there(&self, digest: &str, as_candidate: bool) -> bool {
        let there = if as_candidate { &self.candidate } else { &self.acting };
        there.as_ref().is_some_and(|watched| watched.component.identity().digest == digest)
    }

    /// Revisions that have acted and may again, older than `number`, newest first.
    pub(crate) fn good_before(&self, number: Option<u32>) -> Vec<RevisionInfo> {
        let older = self.revisions.iter().rev().filter(|revision| number.is_none_or(|acting| revision.number < acting));
        older.filter(|revision| revision.acted && revision.quarantined.is_none()).cloned().collect()
    }

    pub(crate) fn quarantine(&mut self, number: u32, why: String) {
        if let Some(revision) = self.revision(number) {
            revision.quarantined = Some(why);
        }
    }

    fn revision(&mut self, number: u32) -> Option<&mut RevisionInfo> {
        self.revisions.iter_mut().find(|revision| revision.number == number)
    }

    /// Drops the oldest revisions past `kept`, but neither who acts or would in its stead, nor the candidate.
    pub(crate) fn prune(&mut self, kept: u32) {
        let loaded = [&self.acting, &self.before, &self.candidate].into_iter().flatten();
        let needed: Vec<u32> = loaded.map(|watched| watched.number()).chain(self.passed_over).collect();
        let mut excess = self.revisions.len().saturating_sub(kept as usize);
        self.revisions.retain(|revision| {
            let drop = excess > 0 && !needed.contains(&revision.number);
            excess -= usize::from(drop);
            !drop
        });
    }
}

impl Pushed {
    pub(crate) fn new(
        name: &str,
        kind: PolicyKind,
        names: &Arc<Names>,
        limits: Arc<PolicyLimits>,
        calls: Group,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            names: Arc::downgrade(names),
            limits,
            calls,
            state: Mutex::default(),
            asked: ArcSwap::default(),
        })
    }

    pub(crate) fn limits(&self) -> &PolicyLimits {
        &self.limits
    }

    /// A copy of the state as it is now.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Changes the state, and with it who is asked.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let asked = Asked { acting: state.acting.clone(), candidate: state.candidate.clone() };
        let before = self.asked.swap(Arc::new(asked));
        drop(state);
        drop(before);
        changed
    }

    pub(crate) fn asked(&self) -> Guard<Arc<Asked>> {
        self.asked.load()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Stores every name as it is now.
    pub(crate) fn save(&self) -> io::Result<()> {
        self.names.upgrade().map_or(Ok(()), |names| names.save())
    }

    /// Ends the trial of a revision: it has proved itself, or is set back where it still acts.
    pub(crate) fn end_trial(&self, number: u32, verdict: &Verdict, at: Timestamp) {
        let Verdict { calls, failures, failed } = verdict;
        self.change(|state| {
            let Some(last) = failed else {
                if let Some(revision) = state.revision(number) {
                    revision.proved = true;
                }
                state.happened(at, number, format!("proved itself: {failures} of its first {calls} calls failed"));
                tracing::info!(policy = self.name, revision = number, "the revision has proved itself");
                return;
            };
            if state.acting.as_ref().is_none_or(|acting| acting.number() != number) {
                return;
            }
            let why = format!("{failures} of its first {calls} calls failed, the last one: {last}");
            state.quarantine(number, why.clone());
            state.acting = None;
            let before = state.before.take();
            let acts = before.as_ref().map(|before| before.number());
            if let Some(before) = before {
                state.act(before, None);
            }
            let instead = acts.map_or_else(
                || format!("the built-in {} policy stands in", self.kind),
                |acts| format!("revision {acts} acts again"),
            );
            state.happened(at, number, format!("set back and quarantined: {why}; {instead}"));
            tracing::error!(policy = self.name, revision = number, why, now_acting = acts, "the revision is set back");
        });
    }
}
