//! One pushed name: its revisions, which of them acts, and the trial of a new one.

use super::catalogue::{EVENTS_KEPT, PolicyEvent, RevisionInfo};
use super::component::PolicyComponent;
use super::shelf::{Shelf, Shelved};
use super::{HealthPolicy, ScalingPolicy};
use crate::model::PolicyKind;
use crate::model::facts::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use crate::model::settings::PolicyLimits;
use crate::model::{PolicyFailure, PolicyIdentity, Timestamp};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

/// Every pushed name, and where they are stored.
#[derive(Debug)]
pub(super) struct Names {
    /// None: nothing outlives the process.
    pub(super) shelf: Option<Shelf>,
    pub(super) policies: RwLock<BTreeMap<String, Arc<Pushed>>>,
    /// Held while the index is written, so that an older one never follows a newer one.
    saving: Mutex<()>,
}

impl Names {
    pub(super) fn new(shelf: Option<Shelf>) -> Self {
        Self { shelf, policies: RwLock::default(), saving: Mutex::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Pushed>> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Stores everything as it is now.
    fn save(&self) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
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
    pub(super) fn commit(
        &self,
        pushed: &Arc<Pushed>,
        state: State,
        component: Option<(&str, &[u8])>,
    ) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(shelf), Some((digest, bytes))) = (&self.shelf, component) {
            shelf.put(digest, bytes)?;
        }
        self.save_but(|index| drop(index.insert(pushed.name.clone(), state.shelved(pushed.kind))))?;
        // Let go of when the lock is: a component that nobody needs any more takes a while to unmap, and calls would wait.
        let _old = pushed.state().turn_into(state);
        self.insert(Arc::clone(pushed));
        Ok(())
    }

    pub(super) fn insert(&self, pushed: Arc<Pushed>) {
        let mut policies = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        policies.insert(pushed.name.clone(), pushed);
    }

    /// Forgets a name: first on disk, then here.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.save_but(|index| drop(index.remove(name)))?;
        self.policies.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    fn shelved(&self) -> BTreeMap<String, Shelved> {
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner).clone();
        policies.into_iter().map(|(name, pushed)| (name, pushed.state().shelved(pushed.kind))).collect()
    }
}

/// One pushed name.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) name: String,
    pub(super) kind: PolicyKind,
    names: Weak<Names>,
    limits: Arc<PolicyLimits>,
    state: Mutex<State>,
}

/// The revisions of a name.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Oldest first.
    pub(super) revisions: Vec<RevisionInfo>,
    /// Who is asked; none: every revision failed.
    pub(super) acting: Option<Arc<Watched>>,
    /// Who is asked if the acting one fails its trial.
    pub(super) before: Option<Arc<Watched>>,
    /// Who is asked beside the acting one, without a consequence.
    pub(super) candidate: Option<Arc<Watched>>,
    /// What happened, oldest first.
    pub(super) events: Vec<PolicyEvent>,
    /// Calls of the acting revision since it began to act, and how many of them failed.
    calls: u32,
    failures: u32,
}

impl State {
    /// Revisions as they were stored, none of which acts yet.
    pub(super) fn stored(revisions: Vec<RevisionInfo>, events: Vec<PolicyEvent>) -> Self {
        Self { revisions, events, ..Self::default() }
    }

    /// Notes what happened to a revision.
    pub(super) fn happened(&mut self, at: Timestamp, revision: u32, what: String) {
        self.events.push(PolicyEvent { at, revision, what });
        let excess = self.events.len().saturating_sub(EVENTS_KEPT);
        self.events.drain(..excess);
    }

    /// Takes over a state that was made from this one a moment ago, and gives the old one; what calls have shown since is
    /// kept.
    #[must_use = "dropped under the lock of this state, it keeps calls waiting"]
    pub(super) fn turn_into(&mut self, mut next: Self) -> Self {
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

    pub(super) fn shelved(&self, kind: PolicyKind) -> Shelved {
        Shelved {
            kind,
            acting: self.acting.as_ref().map(|watched| watched.number()),
            candidate: self.candidate.as_ref().map(|watched| watched.number()),
            revisions: self.revisions.clone(),
            events: self.events.clone(),
        }
    }

    /// Lets a revision act, and begins its trial anew.
    pub(super) fn act(&mut self, watched: Arc<Watched>, before: Option<Arc<Watched>>) {
        if let Some(revision) = self.revision(watched.number()) {
            revision.acted = true;
        }
        (self.acting, self.before, self.calls, self.failures) = (Some(watched), before, 0, 0);
    }

    /// Whether a component acts, or is the candidate.
    pub(super) fn is_there(&self, digest: &str, as_candidate: bool) -> bool {
        let there = if as_candidate { &self.candidate } else { &self.acting };
        there.as_ref().is_some_and(|watched| watched.component.identity().digest == digest)
    }

    /// Revisions that have acted and may again, older than `number`, newest first.
    pub(super) fn good_before(&self, number: Option<u32>) -> Vec<RevisionInfo> {
        let older = self.revisions.iter().rev().filter(|revision| number.is_none_or(|acting| revision.number < acting));
        older.filter(|revision| revision.acted && revision.quarantined.is_none()).cloned().collect()
    }

    pub(super) fn quarantine(&mut self, number: u32, why: String) {
        if let Some(revision) = self.revision(number) {
            revision.quarantined = Some(why);
        }
    }

    fn revision(&mut self, number: u32) -> Option<&mut RevisionInfo> {
        self.revisions.iter_mut().find(|revision| revision.number == number)
    }

    /// Drops the oldest revisions past `kept`, but neither who acts or would in its stead, nor the candidate.
    pub(super) fn prune(&mut self, kept: u32) {
        let needed: Vec<u32> = [&self.acting, &self.before, &self.candidate]
            .into_iter()
            .flatten()
            .map(|watched| watched.number())
            .collect();
        let mut excess = self.revisions.len().saturating_sub(kept as usize);
        self.revisions.retain(|revision| {
            let drop = excess > 0 && !needed.contains(&revision.number);
            excess -= usize::from(drop);
            !drop
        });
    }
}

impl Pushed {
    pub(super) fn new(name: &str, kind: PolicyKind, names: &Arc<Names>, limits: &Arc<PolicyLimits>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            names: Arc::downgrade(names),
            limits: Arc::clone(limits),
            state: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &PolicyLimits {
        &self.limits
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call of a revision on trial: enough failures set it back, enough calls without end the trial.
    fn note(&self, number: u32, failure: Option<&PolicyFailure>, at: Timestamp) {
        {
            let mut state = self.state();
            let on_trial = state.acting.as_ref().is_some_and(|acting| acting.number() == number);
            if !on_trial || state.revision(number).is_none_or(|revision| revision.proved) {
                return;
            }
            state.calls += 1;
            state.failures += u32::from(failure.is_some());
            if let Some(failure) = failure.filter(|_| state.failures >= self.limits.trial_failures) {
                let why =
                    format!("{} of its first {} calls failed, the last one: {failure}", state.failures, state.calls);
                state.quarantine(number, why.clone());
                let (before, calls, failures) = (state.before.take(), 0, 0);
                (state.acting, state.calls, state.failures) = (before, calls, failures);
                let acts = state.acting.as_ref().map(|acting| acting.number());
                let instead = acts.map_or_else(
                    || format!("the built-in {} policy stands in", self.kind),
                    |acts| format!("revision {acts} acts again"),
                );
                state.happened(at, number, format!("set back and quarantined: {why}; {instead}"));
                tracing::error!(
                    policy = self.name,
                    revision = number,
                    why,
                    now_acting = acts,
                    "the revision is set back"
                );
            } else if state.calls >= self.limits.trial_calls {
                if let Some(revision) = state.revision(number) {
                    revision.proved = true;
                }
                let (calls, failures) = (state.calls, state.failures);
                state.happened(at, number, format!("proved itself: {failures} of its first {calls} calls failed"));
                tracing::info!(policy = self.name, revision = number, "the revision has proved itself");
            } else {
                return;
            }
        }
        if let Some(names) = self.names.upgrade() {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = names.save() {
                    tracing::error!(%error, "cannot store which policies act");
                }
            });
        }
    }
}

/// A revision that is asked, and watched while it is on trial.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) component: PolicyComponent,
    pushed: Weak<Pushed>,
}

impl Watched {
    pub(super) fn new(component: PolicyComponent, pushed: &Arc<Pushed>) -> Arc<Self> {
        Arc::new(Self { component, pushed: Arc::downgrade(pushed) })
    }

    pub(super) fn number(&self) -> u32 {
        self.component.identity().revision
    }

    fn noted<T>(&self, at: Timestamp, answer: Result<T, PolicyFailure>) -> Result<T, PolicyFailure> {
        if let Some(pushed) = self.pushed.upgrade() {
            pushed.note(self.number(), answer.as_ref().err(), at);
        }
        answer
    }
}

/// A revision that is asked as a shadow: its failures set nothing back.
pub(super) struct Unwatched(pub(super) Arc<Watched>);

#[async_trait]
impl ScalingPolicy for Unwatched {
    fn identity(&self) -> &PolicyIdentity {
        self.0.component.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.0.component.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        ScalingPolicy::decide(&self.0.component, config, observation).await
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        ScalingPolicy::protected(&self.0.component, config, observation).await
    }
}

#[async_trait]
impl HealthPolicy for Unwatched {
    fn identity(&self) -> &PolicyIdentity {
        self.0.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        HealthPolicy::evaluate(&self.0.component, config, observation).await
    }
}

#[async_trait]
impl ScalingPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.component.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.noted(observation.now, ScalingPolicy::decide(&self.component, config, observation).await)
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let answer = ScalingPolicy::protected(&self.component, config, observation).await?;
        Some(self.noted(observation.now, answer))
    }
}

#[async_trait]
impl HealthPolicy for Watched {
    fn identity(&self) -> &PolicyIdentity {
        self.component.identity()
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.noted(observation.now, HealthPolicy::evaluate(&self.component, config, observation).await)
    }
}
